"""One request to a receiver, and what came of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from uuid import UUID

import httpx

from card_api.webhooks.addresses import GuardedTransport, Refused, refusal_of
from card_api.webhooks.signing import headers, secrets_now

# Whoever needs longer should answer first and work then; the same limit most senders of web hooks have.
DEADLINE_SECONDS = 10.0
# Of an error's text, for the person who looks into the list of the dead.
_ANSWER_BYTES = 500
_GONE = 410


@dataclass(frozen=True, slots=True)
class Receiver:
    """What of a hook is needed to send to it. url: may carry a token, so it is not logged."""

    webhook_id: UUID
    url: str
    secret_version: int
    secret_rotated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """status_code: None if there was no answer. error: None if it was delivered, else a sentence. ms: how long."""

    status_code: int | None
    error: str | None
    ms: float

    @property
    def delivered(self) -> bool:
        return self.error is None

    @property
    def gone(self) -> bool:
        """Does the receiver want no more, ever?"""
        return self.status_code == _GONE


class Sender:
    """Never raises for what a receiver does. `close()` at the end."""

    def __init__(
        self,
        site_secret: str,
        allow_private: bool,
        now: Callable[[], datetime],
        transport: httpx.AsyncBaseTransport | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._site_secret = site_secret
        self._allow_private = allow_private
        self._now = now
        self._deadline = deadline_seconds
        self._client = httpx.AsyncClient(
            transport=transport or GuardedTransport(allow_private),
            timeout=deadline_seconds,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "Callcard", "Accept": "application/json"},
        )

    def refusal(self, url: str) -> str | None:
        """Why nothing will ever be sent there, as far as the URL itself tells; None: nothing is known against it."""
        return refusal_of(url, self._allow_private)

    async def send(self, to: Receiver, message_id: str, body: bytes) -> Outcome:
        """POST the body, signed."""
        now = self._now()
        secrets = secrets_now(self._site_secret, to.webhook_id, to.secret_version, to.secret_rotated_at, now)
        signed = {"Content-Type": "application/json", **headers(secrets, message_id, now, body)}
        began = perf_counter()
        status: int | None = None
        try:
            # httpx's own limits are for each read; a receiver that drips would be waited for without end.
            async with (
                asyncio.timeout(self._deadline),
                self._client.stream("POST", to.url, content=body, headers=signed) as answer,
            ):
                status = answer.status_code
                error = None if answer.is_success else _sentence(answer, await _beginning(answer))
        except Refused as refused:
            error = f"Nothing was sent: {refused}."
        except (TimeoutError, httpx.TimeoutException):
            error = f"No answer within {self._deadline:g} s."
        except httpx.ConnectError as failed:
            error = f"No connection: {str(failed) or 'refused'}."
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as failed:
            error = f"The request failed: {type(failed).__name__}."
        return Outcome(status, error, round((perf_counter() - began) * 1000, 1))

    async def close(self) -> None:
        await self._client.aclose()


async def _beginning(answer: httpx.Response) -> str:
    got = b""
    async for part in answer.aiter_bytes(_ANSWER_BYTES):
        got += part
        if len(got) >= _ANSWER_BYTES:
            break
    return " ".join(got[:_ANSWER_BYTES].decode(errors="replace").replace("\0", "").split())


def _sentence(answer: httpx.Response, said: str) -> str:
    if answer.is_redirect:
        return f"Answered {answer.status_code}: redirects are not followed, set the web hook to the last address."
    return f"Answered {answer.status_code}" + (f": {said}" if said else ".")
