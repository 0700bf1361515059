"""A certificate must be the name's, though the connection goes to an address that was looked up before."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from card_api.webhooks.addresses import GuardedTransport
from card_api.webhooks.sender import Receiver as To
from card_api.webhooks.sender import Sender
from tests.card_api.conftest import SECRET
from tests.card_api.webhooks.conftest import Clock
from tests.card_api.webhooks.receiver import Receiver
from tests.card_api.webhooks.test_pure import HOOK


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and certificate of crm.example, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("crm.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "crm.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
async def port(certificate: Path) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(Receiver().serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_the_certificate_is_checked_by_name(
    certificate: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def here(host: str, _: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def send(host: str) -> str | None:
        sender = Sender(SECRET, True, Clock(), GuardedTransport(True, here))
        try:
            return (await sender.send(To(HOOK, f"https://{host}:{port}/", 1, None), "1", b"{}")).error
        finally:
            await sender.close()

    nobody_vouches = await send("crm.example")
    assert nobody_vouches is not None
    assert "certificate" in nobody_vouches.lower()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert await send("crm.example") is None
    other = await send("other.example")
    assert other is not None
    assert "other.example" in other
