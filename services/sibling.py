"""A process that shares its port with others of its kind: which one it is, and the metrics of all of them.

Whoever asks the port for `/metrics` reaches any one of them. It asks the others over Unix sockets in a folder that they
share, and says whose each figure is by the label `process`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# One that does not answer is starting, or hangs; the figures of the others are asked for all the same.
_ASK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Sibling:
    """number: 1, 2, … folder: where each has its socket. As text: `1:FOLDER`."""

    number: int
    folder: Path

    @classmethod
    def of(cls, text: str) -> "Sibling":
        number, _, folder = text.partition(":")
        return cls(int(number), Path(folder))

    def __str__(self) -> str:
        return f"{self.number}:{self.folder}"

    @property
    def socket(self) -> Path:
        return self.folder / f"{self.number}.sock"


class OneOfSeveral:
    """ASGI: `app`, but that `/metrics` of the port are those of all siblings. On its own socket they are its own."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self._app = app
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/metrics" and not _over_unix_socket(scope):
            pages = await asyncio.gather(*(_ask(path) for path in sorted(self._folder.glob("*.sock"))))
            page = together({number: text for number, text in pages if text is not None})
            await PlainTextResponse(page)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _over_unix_socket(scope: Scope) -> bool:
    """ASGI says the path of the socket in place of the host, and no port."""
    host, port = scope.get("server") or ("", None)
    return bool(host) and port is None


async def _ask(path: Path) -> tuple[str, str | None]:
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, timeout=_ASK_SECONDS) as http:
        try:
            answer = await http.get("http://sibling/metrics")
        except httpx.HTTPError:
            return path.stem, None
    return path.stem, answer.text if answer.status_code == httpx.codes.OK else None


def together(pages: Mapping[str, str]) -> str:
    """One page of metrics from those of several processes, each sample with the label `process`."""
    families: dict[str, Metric] = {}
    for process, text in pages.items():
        for family in text_string_to_metric_families(text):
            same = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type, family.unit)
            )
            same.samples += [s._replace(labels={**s.labels, "process": process}) for s in family.samples]
    registry = CollectorRegistry()
    registry.register(_Collected(families.values()))
    return generate_latest(registry).decode()


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
