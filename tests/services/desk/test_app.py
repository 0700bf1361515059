"""The desk's web server: headers, caching, what the page is told, and what stands there before it is built."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from services.desk.app import desk
from shared.settings import DeskSettings, PushSettings, Settings, SettingsError


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Callcard</title>")
    (tmp_path / "assets" / "index-1a2b.js").write_text("export {}")
    (tmp_path / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / ".stamp").write_text("0" * 64)
    return tmp_path


def client(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://desk.example:8080")


async def get(app: Starlette, path: str, **headers: str) -> httpx.Response:
    async with client(app) as http:
        return await http.get(path, headers=headers)


def directives(answer: httpx.Response) -> dict[str, list[str]]:
    policy = answer.headers["content-security-policy"]
    return {words[0]: words[1:] for words in (part.split() for part in policy.split(";"))}


class TestCaching:
    async def test_the_page_is_asked_for_anew_each_time(self, built: Path) -> None:
        app = desk(Settings(), built)
        answer = await get(app, "/")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
        assert answer.headers["content-type"].startswith("text/html")

    async def test_what_is_named_by_its_contents_is_kept(self, built: Path) -> None:
        answer = await get(desk(Settings(), built), "/assets/index-1a2b.js")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "javascript" in answer.headers["content-type"]

    async def test_a_missing_asset_is_not_kept(self, built: Path) -> None:
        answer = await get(desk(Settings(), built), "/assets/index-old.js")
        assert answer.status_code == 404
        assert "immutable" not in answer.headers.get("cache-control", "")

    async def test_favicon(self, built: Path) -> None:
        answer = await get(desk(Settings(), built), "/favicon.svg")
        assert answer.headers["content-type"] == "image/svg+xml"


class TestSecurity:
    async def test_headers_on_every_answer(self, built: Path) -> None:
        app = desk(Settings(), built)
        for path in ("/", "/config.json", "/assets/index-1a2b.js", "/nothing", "/healthz"):
            answer = await get(app, path)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert directives(answer)["default-src"] == ["'self'"]

    async def test_own_addresses_only(self, built: Path) -> None:
        rules = directives(await get(desk(Settings(), built), "/"))
        assert rules["connect-src"] == ["'self'", "ws://desk.example:8080", "wss://desk.example:8080"]
        assert rules["frame-ancestors"] == ["'self'"]
        assert "'unsafe-inline'" not in str(rules)

    async def test_configured_addresses(self, built: Path) -> None:
        settings = Settings(
            desk=DeskSettings(api_url="https://api.example/base", push_url="https://push.example"),
            allowed_origins=["https://crm.example"],
        )
        rules = directives(await get(desk(settings, built), "/"))
        assert rules["connect-src"][3:] == [
            "https://api.example",
            "https://push.example",
            "wss://push.example",
        ]
        assert rules["frame-ancestors"] == ["'self'", "https://crm.example"]

    async def test_http_where_the_network_breaks_websockets(self, built: Path) -> None:
        settings = Settings(desk=DeskSettings(push_url="ws://push.example:8000/connection/websocket"))
        rules = directives(await get(desk(settings, built), "/"))
        assert rules["connect-src"][3:] == ["ws://push.example:8000", "http://push.example:8000"]

    async def test_a_host_header_cannot_write_the_policy(self, built: Path) -> None:
        answer = await get(desk(Settings(), built), "/", host="x; script-src *")
        assert "script-src" not in directives(answer)
        assert directives(answer)["connect-src"] == ["'self'"]

    @pytest.mark.parametrize(
        "settings",
        [
            Settings(allowed_origins=["crm.example"]),
            Settings(allowed_origins=["https://crm.example; script-src *"]),
            Settings(desk=DeskSettings(api_url="//api")),
            Settings(desk=DeskSettings(push_url="https://")),
        ],
    )
    def test_a_wrong_address_is_a_sentence_at_the_start(self, built: Path, settings: Settings) -> None:
        with pytest.raises(SettingsError, match=r"CALLCARD_.*write an address such as https?://"):
            desk(settings, built)

    @pytest.mark.parametrize(
        "path", ["/.stamp", "/%2e%2e/app.py", "/..%2fapp.py", "/assets/../.stamp", "/assets/%2e%2e/.stamp"]
    )
    async def test_only_the_page_is_handed_out(self, built: Path, path: str) -> None:
        (built.parent / "app.py").write_text("secret")
        answer = await get(desk(Settings(), built), path)
        assert answer.status_code == 404


class TestConfig:
    async def test_what_the_page_is_told(self, built: Path) -> None:
        settings = Settings(desk=DeskSettings(push_url="wss://push.example"), language="en")
        answer = await get(desk(settings, built), "/config.json")
        told = answer.json()
        assert told.pop("version")
        assert told == {
            "api_url": "",
            "push_url": "wss://push.example",
            "push_token": "token",
            "language": "en",
        }
        assert answer.headers["cache-control"] == "no-cache"

    async def test_the_page_learns_where_centrifugo_wants_its_token(self, built: Path) -> None:
        settings = Settings(push=PushSettings(backend="centrifugo"))
        assert (await get(desk(settings, built), "/config.json")).json()["push_token"] == "data"


class TestNotBuilt:
    async def test_the_page_says_how_to_build_it(self, tmp_path: Path) -> None:
        app = desk(Settings(), tmp_path / "static")
        answer = await get(app, "/")
        assert answer.status_code == 503
        assert "python -m services.desk.build" in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert (await get(app, "/readyz")).status_code == 503
        assert (await get(app, "/healthz")).status_code == 200

    async def test_it_is_there_as_soon_as_it_is_built(self, tmp_path: Path) -> None:
        app = desk(Settings(), tmp_path / "static")
        assert (await get(app, "/")).status_code == 503
        (tmp_path / "static" / "assets").mkdir(parents=True)
        (tmp_path / "static" / "index.html").write_text("<title>Callcard</title>")
        (tmp_path / "static" / "assets" / "a.js").write_text("")
        assert (await get(app, "/")).status_code == 200
        assert (await get(app, "/assets/a.js")).status_code == 200
        assert (await get(app, "/readyz")).json() == {"status": "ok"}
