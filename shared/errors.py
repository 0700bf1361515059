"""Errors on the HTTP side as RFC 9457 problem documents with a stable `type`."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from shared.observability import logger

PROBLEM_JSON = "application/problem+json"

# A person reads these: a list of thousands, or a name of a megabyte, says no more than its beginning.
_MOST_ERRORS = 100
_LONGEST_TEXT = 500

_UNREADABLE = (
    "The body cannot be read: send JSON in UTF-8, with numbers of at most some dozens of digits and not "
    "nested a thousand deep."
)


class ProblemDocument(BaseModel):
    """RFC 9457. `type` is stable and for programs; `detail` is for people and says what to do. Some types say more, in
    members of their own."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:callcard:error:not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["No call with this id is known."])
    errors: list[dict[str, Any]] | None = Field(
        None, description="one entry a wrong field, if it is about fields"
    )


class Problem(Exception):
    """An error the caller is told about. Subclass it: the class carries status, name and title."""

    status: int = 400
    name: str = "bad-request"
    title: str = "Bad request"

    def __init__(
        self, detail: str, headers: dict[str, str] | None = None, more: Mapping[str, Any] | None = None
    ) -> None:
        """`more`: members of the document beyond those that every problem has."""
        super().__init__(detail)
        self.detail = detail
        self.headers = headers
        self.more = more

    def response(self) -> JSONResponse:
        return _document(
            self.status, self.name, self.title, self.detail, headers=self.headers, more=self.more
        )


class NotFound(Problem):
    status, name, title = 404, "not-found", "Not found"


class Unauthorised(Problem):
    status, name, title = 401, "unauthorised", "Sign-in needed"


class Forbidden(Problem):
    status, name, title = 403, "forbidden", "Not allowed"


class Conflict(Problem):
    status, name, title = 409, "conflict", "Conflict"


class PreconditionFailed(Problem):
    status, name, title = 412, "changed-meanwhile", "Changed meanwhile"


class TooLarge(Problem):
    status, name, title = 413, "too-large", "Too large"


class UnsupportedMediaType(Problem):
    status, name, title = 415, "unsupported-media-type", "Unsupported media type"


class Unprocessable(Problem):
    status, name, title = 422, "invalid", "Invalid request"


class PreconditionRequired(Problem):
    status, name, title = 428, "precondition-required", "Say which version you change"


class TooManyRequests(Problem):
    status, name, title = 429, "too-many-requests", "Too many requests"


class Unavailable(Problem):
    status, name, title = 503, "unavailable", "Temporarily unavailable"


def problem_responses(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: the problems it answers with, in the OpenAPI document.

    By reference, not by model: FastAPI makes a validator for each model in each route, half of the time of a start.
    """
    return {
        kind.status: {
            "description": kind.title,
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for kind in kinds
    }


def install_error_handlers(app: FastAPI) -> None:
    """Every error of `app` leaves as a problem document; an unforeseen one is logged and says nothing of its inside."""
    log = logger("http")

    async def on_problem(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return error.response()

    async def on_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 400 and isinstance(error.__cause__, ValueError | RecursionError):
            # FastAPI's only 400; everything else that is wrong with a body is 422, as the document says. What Python
            # refuses beyond broken JSON: bytes that are no UTF-8, a number of thousands of digits, lists in lists in …
            return _document(422, "invalid", "Invalid request", _UNREADABLE)
        names = {400: "bad-request", 404: "not-found", 405: "method-not-allowed"}
        name = names.get(error.status_code, "http-error")
        detail = error.detail if error.detail not in ("Not Found",) else "There is nothing at this address."
        return _document(
            error.status_code, name, detail, detail, headers=dict(error.headers) if error.headers else None
        )

    async def on_invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        if isinstance(error.body, bytes):
            # FastAPI has not read it, as its Content-Type says that it is no JSON.
            return UnsupportedMediaType(
                "Bodies are JSON here: send it with Content-Type: application/json."
            ).response()
        errors = [
            {"field": _legible(".".join(str(p) for p in e["loc"])), "message": _legible(e["msg"])}
            for e in error.errors()[:_MOST_ERRORS]
        ]
        fields = ", ".join(e["field"] for e in errors)
        return _document(
            422, "invalid", "Invalid request", f"The request is not valid: see {fields}.", errors=errors
        )

    async def on_unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.error("request failed", path=request.url.path, exc_info=error)
        return _document(
            500, "internal", "Internal error", "Something went wrong here; it is in the log. Try again."
        )

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_unforeseen)


def _legible(text: str) -> str:
    """What a client sent may be in it: of any length, with half characters, which UTF-8 has no bytes for."""
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode()


def _document(
    status: int,
    name: str,
    title: str,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> JSONResponse:
    body = ProblemDocument(
        type=f"urn:callcard:error:{name}",
        title=title,
        status=status,
        detail=detail,
        errors=errors,
        **more or {},
    )
    return JSONResponse(body.model_dump(exclude_none=True), status, headers=headers, media_type=PROBLEM_JSON)
