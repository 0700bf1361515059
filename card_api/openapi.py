"""The OpenAPI document as it is served."""

from typing import Any

from fastapi import FastAPI

from shared.errors import (
    PROBLEM_JSON,
    ProblemDocument,
    TooLarge,
    TooManyRequests,
    UnsupportedMediaType,
    problem_responses,
)


def tidy_openapi(app: FastAPI) -> None:
    """Add what `problem_responses` refers to, and what is answered before a route has its turn; where a problem is
    answered, plain JSON is not."""
    made = app.openapi
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")

    def openapi() -> dict[str, Any]:
        document = made()
        document.setdefault("components", {}).setdefault("schemas", {})["ProblemDocument"] = problem
        for item in document["paths"].values():
            for operation in item.values():
                responses = operation["responses"]
                for status, response in _before_the_route(operation).items():
                    responses.setdefault(str(status), response)
                operation["responses"] = dict(sorted(responses.items()))
                for response in responses.values():
                    content = response.get("content", {})
                    if PROBLEM_JSON in content:
                        content.pop("application/json", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _before_the_route(operation: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Keys are counted; bodies are measured, and are JSON if they are read for the route."""
    takes_keys = any(scheme.startswith("apiKey") for way in operation.get("security", []) for scheme in way)
    found = problem_responses(TooManyRequests) if takes_keys else {}
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        found |= problem_responses(TooLarge, UnsupportedMediaType)
    return found
