"""Which pages may connect from a browser, and what a browser must be told so that it lets them. Pure."""

from collections.abc import Sequence
from urllib.parse import urlsplit

# A browser asks again whether it may post after so long; a change of the settings needs a restart anyway.
_PREFLIGHT_SECONDS = 600


class Origins:
    """The same host and the pages in the settings may connect; so may what says no origin, because it is no browser."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)

    def allow(self, origin: str | None, host: str) -> bool:
        """`origin` and `host` are the headers of the request."""
        if origin is None:
            return True
        origin = origin.rstrip("/").lower()
        try:
            return origin in self._allowed or (host != "" and urlsplit(origin).netloc == host.lower())
        except ValueError:
            return False

    @staticmethod
    def sharing(origin: str | None) -> dict[str, str]:
        """Headers of an answer to an allowed page: its browser lets it read the answer. No cookie is ever asked for,
        so none is allowed."""
        return {} if origin is None else {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    @classmethod
    def preflight(cls, origin: str | None) -> dict[str, str]:
        """Headers of the answer to the browser's question whether an allowed page may post JSON."""
        return {
            **cls.sharing(origin),
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "accept, content-type",
            "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
        }
