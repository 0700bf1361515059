"""Past calls of synthetic customers: each a whole `Call`, as the listener would have said it."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from services.synthetic import words

PBX = "synthetic"

# How far they go back.
_DAYS = 365
# Of a hundred calls: from somebody nobody knows; dialled by an agent; given up before anybody answered.
_STRANGERS, _OUTBOUND, _ABANDONED = 0.10, 0.15, 0.15


class PastCall(NamedTuple):
    """A row of the table of calls, in the order of COLUMNS."""

    call_id: str
    pbx: str
    version: int
    direction: str
    state: str
    caller_number: str
    did: str
    customer_number: str
    queue: str | None
    agents: list[str]
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    end_reason: str
    talk_seconds: int | None
    missed: bool
    document: str


COLUMNS = PastCall._fields


def calls(seed: int, numbers: Sequence[int], now: datetime) -> Iterator[PastCall]:
    """Without end, newest and oldest mixed, all before `now` (UTC). `numbers`: E.164 of customers as digits; some call
    much more often than others. With none, all callers are strangers."""
    rng = Random(seed)  # noqa: S311 - nobody's secret
    n = 0
    while True:
        n += 1
        if not numbers or rng.random() < _STRANGERS:
            number = f"+79{rng.randint(0, 999_999_999):09}"
        else:
            number = f"+{numbers[int(len(numbers) * rng.random() ** 2)]}"
        yield _call(rng, n, number, now)


def _call(rng: Random, n: int, number: str, now: datetime) -> PastCall:
    started = now - timedelta(seconds=rng.randint(600, _DAYS * 86_400))
    rung = started + timedelta(seconds=rng.randint(1, 12))
    waited = rung + timedelta(seconds=rng.randint(2, 40))
    talked = None if rng.random() < _ABANDONED else rng.randint(10, 900)
    answered = None if talked is None else waited
    ended = waited if talked is None else waited + timedelta(seconds=talked)
    login = f"{rng.randint(101, 120)}"
    outbound = rng.random() < _OUTBOUND
    line = rng.randrange(len(words.DIDS))
    reason = "completed" if talked is not None else ("no_answer" if outbound else "abandoned")
    caller, did = (login, number) if outbound else (number, words.DIDS[line])
    queue = None if outbound else words.QUEUES[line]
    call_id = f"{PBX}-{n}"
    endpoint = "PJSIP/trunk" if outbound else f"PJSIP/agent{login}"
    own: dict[str, Any] = {
        "call_id": call_id,
        "outbound": outbound,
        "caller": caller,
        "did": did,
        "queue": queue,
        "reason": reason,
        "endpoint": endpoint,
        "agent": "null" if outbound else f'"{login}"',
        "leg_reason": "hangup" if answered else "cancelled",
        "started": _iso(started),
        "rung": _iso(rung),
        "answered": f'"{_iso(answered)}"' if answered else "null",
        "ended": _iso(ended),
    }
    return PastCall(
        call_id,
        PBX,
        1,
        "outbound" if outbound else "inbound",
        "ended",
        caller,
        did,
        number,
        queue,
        [login] if answered else [],
        started,
        answered,
        ended,
        reason,
        talked,
        answered is None and not outbound,
        _document(**own),
    )


def _document(
    *,
    call_id: str,
    outbound: bool,
    caller: str,
    did: str,
    queue: str | None,
    reason: str,
    endpoint: str,
    agent: str,
    leg_reason: str,
    started: str,
    rung: str,
    answered: str,
    ended: str,
) -> str:
    # By hand: a model would take most of the time of a million calls. A test reads it back with the model.
    line = "" if queue is None else f'"queue":{{"name":"{queue}"}},'
    return (
        f'{{"call_id":"{call_id}","pbx":"{PBX}","direction":"{"outbound" if outbound else "inbound"}","state":"ended",'
        f'"caller":{{"number":"{caller}"}},"did":"{did}",{line}'
        f'"legs":[{{"endpoint":"{endpoint}","agent":{agent},"channel":"{endpoint}-{call_id}","state":"ended",'
        f'"ringing_at":"{rung}","answered_at":{answered},"ended_at":"{ended}","end_reason":"{leg_reason}"}}],'
        f'"started_at":"{started}","answered_at":{answered},"ended_at":"{ended}","end_reason":"{reason}",'
        f'"missed":{"true" if answered == "null" and not outbound else "false"}}}'
    )


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
