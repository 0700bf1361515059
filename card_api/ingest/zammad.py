"""Zammad's generic CTI, as the receiver: what its bridges send, as our events. Pure.

Three events (newCall, answer, hangup) as JSON, as a form or as form data, with from, to, direction (in, out), callId,
user (one, several as user[]), queue, answeringNumber, cause; as https://docs.zammad.org/en/latest/api/generic-cti/ has
them. They carry no time: they happened when they came.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson
import phonenumbers
from pydantic import ValidationError

from card_api.agents.directory import Agent, Directory
from card_api.ingest.form_data import FormDataError, parts
from card_api.ingest.schemas import CallEvent, EventKind, Reason
from shared.contracts.call import Direction
from shared.phone import is_valid

Fields = Mapping[str, list[str]]
"""What was sent: names in small letters without underscores and brackets, so callId, call_id and callid are one."""

# More than a group call has members; each field of a form is work.
_MOST_FIELDS = 100

LARGEST_BODY = 65_536
"""Bytes: a hundred fields of some hundred characters."""

# As our own events take it. A bridge cannot shorten what a caller sends.
_LONGEST_LINE = 200

_DIRECTIONS = {"in": Direction.INBOUND, "out": Direction.OUTBOUND}

# Cause by its letters alone: bridges also pass on what their PBX says (NORMAL_CLEARING, USER_BUSY). None: what happened
# tells. `forwarded`: somebody else took it, nobody here can say who.
_CAUSES: dict[str, Reason | None] = {
    "normalclearing": None,
    "busy": Reason.BUSY,
    "userbusy": Reason.BUSY,
    "cancel": Reason.ABANDONED,
    "originatorcancel": Reason.ABANDONED,
    "noanswer": Reason.NO_ANSWER,
    "nouserresponse": Reason.NO_ANSWER,
    "callrejected": Reason.REJECTED,
    "rejected": Reason.REJECTED,
    "congestion": Reason.FAILED,
    "notfound": Reason.FAILED,
    "unallocatednumber": Reason.FAILED,
    "forwarded": Reason.UNKNOWN,
}


class ZammadError(ValueError):
    """What is wrong with what was sent: a sentence."""


def fields_of(body: bytes, content_type: str) -> Fields:
    """What was sent, whatever form it has. Raises `ZammadError`."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        try:
            return _gather(parts(body, content_type, _MOST_FIELDS))
        except FormDataError as error:
            raise ZammadError(str(error)) from None
    if kind == "application/json" or body.lstrip()[:1] == b"{":
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ZammadError(f"The body is no JSON: {error}.") from None
        if not isinstance(said, dict):
            raise ZammadError("The body must be one JSON object.")
        return _gather(_pairs(said))
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise ZammadError(
            "The body is no form: send JSON or name=value pairs, in UTF-8, at most 100."
        ) from None
    return _gather(pairs)


def events_of(fields: Fields, pbx: str, directory: Directory, country: str, now: datetime) -> list[CallEvent]:
    """Our events for theirs: a new call rings at each user it names. country: of the sender's numbers. Raises
    `ZammadError`."""
    name, call_id = _one(fields, "event"), _one(fields, "callid")
    if not call_id:
        raise ZammadError("There is no `callId`: it tells which call the event is about.")
    direction = _DIRECTIONS.get(_one(fields, "direction") or "in")
    if direction is None:
        raise ZammadError("`direction` must be in or out.")
    said = _Said(fields, pbx, call_id, direction, country, now)
    if direction is Direction.OUTBOUND:
        own = _who(
            directory, fields.get("answeringnumber", []), fields.get("user", []), [_one(fields, "from")]
        )
    else:
        own = _who(directory, fields.get("answeringnumber", []), fields.get("user", []))
    try:
        match name:
            case "newCall":
                return _new_call(said, directory, own)
            case "answer":
                return [said.event(EventKind.ANSWERED, **own)]
            case "hangup":
                return _hang_up(said)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        raise ZammadError(f"`{'.'.join(str(p) for p in wrong['loc'])}`: {wrong['msg']}.") from None
    raise ZammadError(f"`event` is {(name or 'missing')[:50]!r}: it must be newCall, answer or hangup.")


def pbx_of(key_name: str) -> str:
    """What a sender is called here: by the name of its key, since it has no name for itself."""
    name = re.sub(r"[^a-z0-9]+", "-", key_name.lower()).strip("-")[:31].rstrip("-")
    return name or "cti"


class _Said:
    """What all events that are made of one of theirs have in common."""

    def __init__(
        self, fields: Fields, pbx: str, call_id: str, direction: Direction, country: str, now: datetime
    ) -> None:
        # Sent again it is the same event, though the time is another.
        self._id = hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        self.fields, self.direction = fields, direction
        self._common = {
            "pbx": pbx,
            "call_id": call_id,
            "direction": direction,
            "at": now,
            "from": _number(_one(fields, "from"), country),
            "to": _number(_one(fields, "to"), country),
        }

    def event(self, kind: EventKind, **more: Any) -> CallEvent:
        own_id = f"{self._id}:{kind}:{more.get('agent') or more.get('endpoint') or ''}"
        return CallEvent.model_validate({**self._common, "id": own_id[:100], "type": kind, **more})


def _new_call(said: _Said, directory: Directory, own: dict[str, str]) -> list[CallEvent]:
    queue = _one(said.fields, "queue")
    if said.direction is Direction.OUTBOUND:
        return [said.event(EventKind.STARTED, **own)]
    events = [said.event(EventKind.STARTED)]
    if queue:
        events.append(said.event(EventKind.QUEUED, queue=queue[:100]))
    users = [_who(directory, [user]) for user in said.fields.get("user", [])]
    if not users and (called := _agent(directory, _one(said.fields, "to"))):
        users = [{"agent": called.login}]
    return events + [said.event(EventKind.RINGING, **user) for user in users if user]


def _hang_up(said: _Said) -> list[CallEvent]:
    cause = re.sub(r"[^a-z]", "", (_one(said.fields, "cause") or "").lower())
    return [said.event(EventKind.ENDED, reason=_CAUSES.get(cause))]


def _number(said: str | None, country: str) -> str | None:
    """Numbers of the own country come as 493055571600 or as 03055571600; a plan whose numbers vary in length would take
    the first for a national one (4930 is a town as well)."""
    code = str(phonenumbers.country_code_for_region(country))
    if said and said.isascii() and said.isdigit() and said.startswith(code) and is_valid(f"+{said}"):
        return f"+{said}"
    return said[:_LONGEST_LINE] if said else said


def _who(directory: Directory, *said: Iterable[str | None]) -> dict[str, str]:
    """Whose phone: the first that is an agent of ours, else the first that was said; {} if nobody was."""
    names = [name.strip() for names in said for name in names if name and name.strip()]
    for name in names:
        agent = _agent(directory, name)
        if agent is not None:
            return {"agent": agent.login}
    return {"endpoint": names[0][:100]} if names else {}


def _agent(directory: Directory, said: str | None) -> Agent | None:
    """By login or extension, else by the name people have, if only one has it."""
    found = directory.named(said)
    if found is not None or not said:
        return found
    same = [a for a in directory.by_login.values() if a.name.casefold() == said.strip().casefold()]
    return same[0] if len(same) == 1 else None


def _one(fields: Fields, name: str) -> str | None:
    values = fields.get(name)
    return values[0].strip() if values else None


def _gather(pairs: Iterable[tuple[str, str]]) -> Fields:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name.lower().removesuffix("[]").replace("_", ""), []).append(value)
    return found


def _pairs(said: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in list(said.items())[:_MOST_FIELDS]:
        for item in value[:_MOST_FIELDS] if isinstance(value, list) else [value]:
            if isinstance(item, str | int):
                yield name, str(item)
