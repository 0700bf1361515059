"""Addresses with placeholders: links from a card into other systems."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

PLACEHOLDERS = ("number", "external_id", "source", "customer_id", "account", "call_id")

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class LinkTemplate:
    """`label` is what the agent reads. `source`: for customers of this system only; None for all.

    `url` has placeholders in braces: number (E.164), external_id, source, customer_id, account, call_id.
    """

    label: str
    url: str
    source: str | None = None

    @classmethod
    def of(cls, name: str, url: str) -> "LinkTemplate":
        """From `CRM` or `crm:CRM` and the address. Raises ValueError: what is wrong, and what to write instead."""
        source, colon, label = name.partition(":")
        if not colon:
            source, label = "", name
        elif not _SOURCE.fullmatch(source):
            raise ValueError(
                f"the link {name!r} does not begin with the name of a source: write it like crm:CRM=https://…"
            )
        if not label.strip():
            raise ValueError(
                f"the link {name!r} has no label: write it like CRM=https://… or crm:CRM=https://…"
            )
        unknown = [word for word in _PLACEHOLDER.findall(url) if word not in PLACEHOLDERS]
        if unknown or set("{}") & set(_PLACEHOLDER.sub("", url)):
            what = f"{{{unknown[0]}}} in it is unknown" if unknown else "a brace in it stands alone"
            raise ValueError(
                f"the link {label!r} is no address we can fill: {what}; placeholders are "
                + ", ".join(f"{{{word}}}" for word in PLACEHOLDERS)
            )
        if not _is_web(url):
            raise ValueError(
                f"the link {label!r} must begin with https:// or http:// and the name of a server, then a path"
            )
        # What a caller types must not decide to which server an agent goes.
        if _PLACEHOLDER.search(url.split("/", 3)[2]):
            raise ValueError(
                f"the link {label!r} has a placeholder in the server's name: put it into the path or after a ?"
            )
        return cls(label.strip(), url, source or None)

    def fill(self, values: Mapping[str, str | None]) -> str | None:
        """The address with all values percent-encoded; None if one that it needs is not known."""
        needed = _PLACEHOLDER.findall(self.url)
        if any(not values.get(word) for word in needed):
            return None
        return _PLACEHOLDER.sub(lambda found: quote(values[found[1]] or "", safe=""), self.url)


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(_PLACEHOLDER.sub("0", url))
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
