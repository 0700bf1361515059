"""A company's CRM over HTTP, as the settings describe it: no code for a new one."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import httpx
import orjson

from card_api.lookup.schemas import FoundCustomer, Question
from card_api.sources.mapping import CustomerMap, MapError, compile_map
from card_api.sources.source import SourceFailed
from card_api.sources.template import Template, asks, in_json, in_url, is_json, url_template
from shared.settings import Settings, SettingsError, SourceSettings

# Questions at the same moment. A system that takes a second each then still serves as many callers a second; more
# would push over what is slow already.
_CONNECTIONS = 16
# A customer with all that a card shows is some 10 kB.
_MAX_BYTES = 1_000_000
_TIMEOUT_SECONDS = 15.0
# A path that moved, a slash that is missing; more is a loop.
_REDIRECTS = 2
_NOBODY = (204, 404)


@dataclass(frozen=True, slots=True)
class _Template:
    """What is sent: the address, and for a POST the body."""

    url: Template
    body: Template | None


class HttpSource:
    """One system. Made by `http_source` from the settings."""

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        template: _Template,
        customers: CustomerMap,
        country: str,
        zone: ZoneInfo,
        client: httpx.AsyncClient,
    ) -> None:
        self.name = name
        self.priority = settings.priority
        self.deadline = settings.deadline
        self._method = settings.method
        self._template = template
        self._names = template.url.names | (template.body.names if template.body else frozenset())
        self._customers = customers
        self._country = country
        self._zone = zone
        self._client = client

    async def find(self, question: Question) -> list[FoundCustomer]:
        if not asks(self._names, question):
            return []
        try:
            document = await self._ask(self._request(question))
        except httpx.HTTPError as error:
            raise SourceFailed("unreachable", _sentence(error)) from None
        except httpx.InvalidURL:
            raise SourceFailed("unreachable", "its address cannot be made with this caller") from None
        return self._customers.read(document, self.name, question, self._country, self._zone)

    async def close(self) -> None:
        await self._client.aclose()

    def _request(self, question: Question) -> httpx.Request:
        url = self._template.url.fill(question, in_url)
        if self._template.body is None:
            return self._client.build_request(self._method, url)
        json = is_json(self._template.body.text)
        content = self._template.body.fill(question, in_json if json else in_url)
        kind = "application/json" if json else "application/x-www-form-urlencoded"
        # One that the settings give goes before this guess.
        headers = {} if "content-type" in self._client.headers else {"Content-Type": kind}
        return self._client.build_request(self._method, url, content=content.encode(), headers=headers)

    async def _ask(self, request: httpx.Request) -> Any:
        for _ in range(_REDIRECTS + 1):
            response = await self._client.send(request, stream=True)
            try:
                if response.next_request is None:
                    return await _document(response)
                if not _same_place(request.url, response.next_request.url):
                    raise SourceFailed(
                        "redirect", "it sends us to another host: put the final address into the URL"
                    )
                request = response.next_request
            finally:
                await response.aclose()
        raise SourceFailed(
            "redirect", f"it redirects more than {_REDIRECTS} times: put the final address into the URL"
        )


def _same_place(asked: httpx.URL, sent_to: httpx.URL) -> bool:
    """Elsewhere our credentials and the caller's number have no business; from http to https of the same host they
    have."""
    if asked.host != sent_to.host:
        return False
    secured = asked.scheme == "http" and sent_to.scheme == "https" and sent_to.port is None
    return secured or (asked.scheme, asked.port) == (sent_to.scheme, sent_to.port)


async def _document(response: httpx.Response) -> Any:
    """The answer as JSON; None for "nobody". Raises `SourceFailed`."""
    status = response.status_code
    if status in _NOBODY:
        return None
    if status in (401, 403):
        raise SourceFailed(
            "status", f"it does not let us in (HTTP {status}): check token, password or headers"
        )
    if status == 429:
        raise SourceFailed("status", "it is asked more often than it allows (HTTP 429): cache for longer")
    if not 200 <= status < 300:
        raise SourceFailed("status", f"it answers with HTTP {status}")
    # We asked for none; and what is small on the wire may be large in memory.
    if response.headers.get("content-encoding", "identity") != "identity":
        raise SourceFailed("encoding", "it compresses its answer although it was asked not to")
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > _MAX_BYTES:
            raise SourceFailed("too_large", f"its answer is larger than {_MAX_BYTES // 1_000_000} MB")
    if not body.strip():
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        kind = response.headers.get("content-type", "no content type").split(";")[0][:60]
        raise SourceFailed("not_json", f"its answer is no JSON in UTF-8 ({kind})") from None


def http_source(name: str, settings: SourceSettings, general: Settings) -> HttpSource:
    """From the settings. Raises `SettingsError` with a sentence a mistake."""
    prefix = f"CALLCARD_SOURCES__{name.upper()}__"
    if not settings.url:
        raise SettingsError(
            f"{prefix}URL is missing: write it like https://crm.example/clients?phone={{number}}."
        )
    try:
        url = url_template(settings.url)
    except ValueError as error:
        raise SettingsError(f"{prefix}URL {error}.") from None
    if settings.body and settings.method == "GET":
        raise SettingsError(f"{prefix}BODY needs {prefix}METHOD=POST.")
    try:
        body = Template.of(settings.body) if settings.body else None
    except ValueError as error:
        raise SettingsError(f"{prefix}BODY {error}.") from None
    if not url.names and not (body and body.names):
        raise SettingsError(f"{prefix}URL does not say where the caller goes: put {{number}} into it.")
    if (settings.username is None) != (settings.password is None):
        raise SettingsError(f"{prefix}USERNAME and {prefix}PASSWORD belong together: give both or none.")
    if settings.token and settings.username:
        raise SettingsError(f"{prefix}TOKEN and {prefix}USERNAME are two ways to sign in: keep one of them.")
    customers = _map(prefix, settings)
    return HttpSource(
        name,
        settings,
        _Template(url, body),
        customers,
        settings.country or general.country,
        ZoneInfo(general.timezone),
        _client(prefix, settings),
    )


def _map(prefix: str, settings: SourceSettings) -> CustomerMap:
    if not settings.map:
        raise SettingsError(f"{prefix}MAP is missing: say what is where, like name=$.name; external_id=$.id.")
    try:
        return compile_map(settings.map, settings.items)
    except MapError as error:
        raise SettingsError(f"{prefix}{error.setting}: {error}.") from None


def _client(prefix: str, settings: SourceSettings) -> httpx.AsyncClient:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "callcard"}
    given = {name: value.get_secret_value() for name, value in settings.headers.items()}
    if settings.token is not None:
        given["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    for name, value in given.items():
        if not name.isascii() or not all(sign.isalnum() or sign in "!#$%&'*+-.^_`|~" for sign in name):
            raise SettingsError(f"{prefix}HEADERS: {name!r} is no name of a header.")
        if not value.isprintable():
            raise SettingsError(
                f"{prefix}HEADERS: the value of {name} has control characters: take them out."
            )
    auth = None
    if settings.username is not None and settings.password is not None:
        auth = httpx.BasicAuth(settings.username, settings.password.get_secret_value())
    return httpx.AsyncClient(
        headers={**headers, **{name: _sendable(value) for name, value in given.items()}},
        auth=auth,
        verify=_trust(prefix, settings.verify),
        # Whoever asks has deadlines of their own, earlier than this; it is for whoever has none.
        timeout=_TIMEOUT_SECONDS,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
    )


def _sendable(value: str) -> str:
    # Headers are Latin-1 at most; what is beyond goes percent-encoded, as in an address.
    return value if value.isascii() else quote(value, safe=" ")


def _trust(prefix: str, verify: bool | Path) -> ssl.SSLContext | bool:
    if isinstance(verify, bool):
        return verify
    try:
        return ssl.create_default_context(cafile=verify)
    except (OSError, ssl.SSLError):
        raise SettingsError(
            f"{prefix}VERIFY: {verify} cannot be read as certificates (PEM): correct the path, or write true or false."
        ) from None


def _sentence(error: httpx.HTTPError) -> str:
    """Without the address, which holds the caller's number."""
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return "it cannot be reached: nothing answers at its host and port, or its certificate is not trusted"
        case httpx.PoolTimeout():
            return f"{_CONNECTIONS} questions to it are waiting already"
    return f"the connection to it broke ({type(error).__name__})"
