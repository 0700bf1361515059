"""Keys read from a file or an address, and read again."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey
from pydantic import SecretStr

from shared import jwks
from shared.jwks import KeyRing, Tokens
from shared.settings import AuthSettings
from shared.token_keys import UnknownKeyError

OWN = "our own secret, which is long enough"
FIRST = OKPKey.generate_key("Ed25519", {"kid": "first"}, private=True)
SECOND = OKPKey.generate_key("Ed25519", {"kid": "second"}, private=True)


def document(*keys: Any) -> bytes:
    return orjson.dumps({"keys": [key.as_dict(private=False) for key in keys]})


def token(key: Any) -> str:
    exp = datetime.now(UTC).timestamp() + 60
    claims = {"sub": "101", "aud": "callcard", "exp": exp}
    return jwt.encode({"alg": "Ed25519", "kid": key.kid}, claims, key, algorithms=["Ed25519"])


def names(ring: KeyRing) -> list[str | None]:
    return [key.kid for key in ring.known()]


async def test_a_file_is_read_and_what_was_known_stays_when_it_breaks(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    ring = KeyRing(str(file))
    await ring.load()
    assert names(ring) == []
    file.write_bytes(document(FIRST, SECOND))
    await ring.load()
    assert names(ring) == ["first", "second"]
    file.write_text("broken")
    await ring.load()
    file.unlink()
    await ring.load()
    assert names(ring) == ["first", "second"]


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Where keys are handed out, and what is answered: the last of the list."""
    bodies = [document(FIRST)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = bodies[-1]
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(answer, sock=sock)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}/jwks.json", bodies
    server.close()


async def test_keys_rotate_while_we_run(
    address: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "LEAST_SECONDS", 0.01)
    url, bodies = address
    tokens = Tokens(AuthSettings(jwks=url), OWN)
    assert tokens.ring is not None
    running = asyncio.create_task(tokens.ring.run())

    async def verified(key: Any) -> None:
        while True:
            try:
                assert tokens.verify(token(key), datetime.now(UTC)).login == "101"
                return
            except UnknownKeyError:
                await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await verified(FIRST)
        bodies.append(document(FIRST, SECOND))
        await verified(SECOND)  # the first token with the new key makes us look
        await verified(FIRST)
        bodies.append(document(SECOND))
        while names(tokens.ring) != ["second"]:
            tokens.ring.look_again()
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(UnknownKeyError):
        tokens.verify(token(FIRST), datetime.now(UTC))


async def test_an_endless_answer_is_not_read(address: tuple[str, list[bytes]]) -> None:
    url, bodies = address
    ring = KeyRing(url)
    await ring.load()
    bodies.append(b" " * 300_000 + document(SECOND))
    await ring.load()
    assert names(ring) == ["first"]


async def test_without_settings_only_our_own_tokens_are_taken() -> None:
    assert Tokens(AuthSettings(), OWN).ring is None
    ring = Tokens(AuthSettings(sso_secret=SecretStr("x" * 32)), OWN).ring
    assert ring is not None
    await ring.run()  # there is no place to look at
    assert len(ring.known()) == 1
