"""Signatures by which a receiver knows that a request is ours and new: Standard Webhooks, so that receivers can use a
library instead of code of their own. Pure.

The secret of a hook is made out of the site's secret, its id and a version, each time it is needed: there is nothing to
steal from the database, and rotating is counting up.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from uuid import UUID

FIRST_VERSION = 1
"""Of a new hook's secret, as its table has it."""
SECRET_PREFIX = "whsec_"  # noqa: S105 - how secrets of Standard Webhooks begin, no secret
# After a rotation both secrets sign, so that the receiver's people can change theirs without losing a request.
OVERLAP = timedelta(hours=24)


def secret(site_secret: str, webhook_id: UUID, version: int) -> str:
    """The signing secret of a hook, as its owner gets it: `whsec_` and base64 of 32 bytes."""
    # One step of HKDF-Expand (RFC 5869). The label keeps it apart from all else the site's secret signs.
    info = f"callcard/webhook/{webhook_id}/{version}".encode()
    key = hmac.digest(site_secret.encode(), info + b"\x01", hashlib.sha256)
    return SECRET_PREFIX + b64encode(key).decode()


def secrets_now(
    site_secret: str, webhook_id: UUID, version: int, rotated_at: datetime | None, now: datetime
) -> list[str]:
    """What signs now: the present secret, and the one before for a day after a rotation."""
    versions = [version]
    if rotated_at is not None and now - rotated_at < OVERLAP:
        versions.append(version - 1)
    return [secret(site_secret, webhook_id, v) for v in versions]


def signature(whsec: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,…` of the body, its id and the moment of sending."""
    key = b64decode(whsec.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(secrets: list[str], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks. at: of this try, not of the event, because receivers refuse old ones."""
    timestamp = int(at.timestamp())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(s, message_id, timestamp, body) for s in secrets),
    }
