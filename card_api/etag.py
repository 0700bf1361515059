"""Entity tags, made and compared (RFC 9110, 8.8.3 and 13.1)."""

import hashlib
from typing import Annotated, Any

from fastapi import Header

# Some dozens of tags; nobody has read more versions.
_LONGEST = 1000

ETAG: dict[str, Any] = {
    "headers": {
        "ETag": {"description": "the version, for If-Match and If-None-Match", "schema": {"type": "string"}}
    }
}
"""For `responses=` of a route whose answer has one."""
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Not changed since the version in If-None-Match"}
}

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=_LONGEST,
        description="the ETag of what you have read: if it has changed meanwhile, nothing happens",
        examples=['"3"'],
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=_LONGEST,
        description="the ETag of what you have: if it is still so, the answer is 304 without a body",
    ),
]


def etag(revision: int) -> str:
    return f'"{revision}"'


def etag_of(document: bytes) -> str:
    """For what counts no revisions: another one for each other document."""
    return f'"{hashlib.sha256(document).hexdigest()[:32]}"'


def if_none_match(header: str | None, tag: str) -> bool:
    """Has the client this version already? Weakly compared: a proxy that compresses makes tags weak."""
    return _names(header, tag, weak=True)


def if_match(header: str | None, tag: str) -> bool:
    """Does the client mean this version? A weak tag never does."""
    return _names(header, tag, weak=False)


def _names(header: str | None, tag: str, *, weak: bool) -> bool:
    if header is None:
        return False
    given = [part.strip() for part in header.split(",")]
    return "*" in given or tag in [g.removeprefix("W/") if weak else g for g in given]
