"""The OpenAPI document as it is served."""

from typing import Any

from fastapi import FastAPI

from shared.errors import PROBLEM_JSON


def tidy_openapi(app: FastAPI) -> None:
    """Errors are problem documents and nothing else: FastAPI adds plain JSON to every response that has a model."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        for item in document["paths"].values():
            for operation in item.values():
                for response in operation["responses"].values():
                    content = response.get("content", {})
                    if PROBLEM_JSON in content:
                        content.pop("application/json", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
