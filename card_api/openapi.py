"""The OpenAPI document as it is served."""

from functools import cache
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from card_api.auth.access import KEY_WAYS
from shared.errors import (
    PROBLEM_JSON,
    ProblemDocument,
    TooLarge,
    TooManyRequests,
    UnsupportedMediaType,
    problem_responses,
)


def tidy_openapi(app: FastAPI) -> None:
    """Add what `problem_responses` refers to, what is answered before a route has its turn, and the other way to send
    a key; where a problem is answered, plain JSON is not.

    It is made when somebody asks for it first, once, and beside the event loop: it takes most of a second, and no ring
    waits for that.
    """
    made = app.openapi
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")

    @cache
    def openapi() -> dict[str, Any]:
        document = made()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["ProblemDocument"] = problem
        components.setdefault("securitySchemes", {}).update(
            {
                way.scheme_name: way.model.model_dump(mode="json", by_alias=True, exclude_none=True)
                for way in KEY_WAYS
            }
        )
        for item in document["paths"].values():
            for operation in item.values():
                _send_keys_either_way(operation)
                responses = operation["responses"]
                for status, response in _before_the_route(operation).items():
                    responses.setdefault(str(status), response)
                operation["responses"] = dict(sorted(responses.items()))
                for response in responses.values():
                    content = response.get("content", {})
                    if PROBLEM_JSON in content:
                        content.pop("application/json", None)
        return document

    def serve(_: Request) -> Response:
        return JSONResponse(openapi())

    app.openapi = openapi  # type: ignore[method-assign]
    routes = app.router.routes
    at = next(
        i for i, route in enumerate(routes) if isinstance(route, Route) and route.path == app.openapi_url
    )
    # FastAPI's is a coroutine; Starlette runs a plain function in a thread.
    routes[at] = Route(str(app.openapi_url), serve, include_in_schema=False)


def _send_keys_either_way(operation: dict[str, Any]) -> None:
    """FastAPI knows of one scheme a dependency; `Access.scope` is one that takes both."""
    ways: list[dict[str, list[str]]] = operation.get("security", [])
    first, second = ({way.scheme_name: list[str]()} for way in KEY_WAYS)
    if first in ways and second not in ways:
        ways.insert(ways.index(first) + 1, second)


def _before_the_route(operation: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Keys are counted; bodies are measured, and are JSON if they are read for the route."""
    takes_keys = any(scheme.startswith("apiKey") for way in operation.get("security", []) for scheme in way)
    found = problem_responses(TooManyRequests) if takes_keys else {}
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        found |= problem_responses(TooLarge, UnsupportedMediaType)
    return found
