"""The OpenAPI document as it is served."""

from typing import Any

from fastapi import FastAPI

from shared.errors import PROBLEM_JSON, ProblemDocument


def tidy_openapi(app: FastAPI) -> None:
    """Add what `problem_responses` refers to; where a problem is answered, plain JSON is not."""
    made = app.openapi
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")

    def openapi() -> dict[str, Any]:
        document = made()
        document.setdefault("components", {}).setdefault("schemas", {})["ProblemDocument"] = problem
        for item in document["paths"].values():
            for operation in item.values():
                for response in operation["responses"].values():
                    content = response.get("content", {})
                    if PROBLEM_JSON in content:
                        content.pop("application/json", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
