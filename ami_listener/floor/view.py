"""Records as the contract says them."""

import re
from collections.abc import Mapping
from datetime import timedelta

from ami_listener.floor.state import MemberRecord, PhoneRecord, QueueRecord
from ami_listener.tracker.endpoints import EndpointKind, EndpointRules, extension
from shared.contracts.floor import Phone, Queue, QueueMember, WaitingCaller

# hint:101@ext-local and Local/101@from-queue/n: the extension is before the context.
_BEFORE_CONTEXT = re.compile(r"[:/](\d{2,6})@")


class Whose:
    """Whose phone or seat in a queue is it? By endpoint, else by the extension in its name."""

    def __init__(self, rules: EndpointRules) -> None:
        self._rules = rules
        self._by_extension = {
            number: login
            for endpoint, login in rules.agents.items()
            if (number := extension(endpoint, None)) is not None
        }

    def agent(self, device: str, interface: str) -> str | None:
        """A login; the extension if there is no login for it; None if the name holds none."""
        rules = self._rules
        for name in (device, interface):
            login = rules.agents.get(name)
            if login is not None:
                return login
        for name in (device, interface):
            number = self._extension(name)
            if number is not None:
                return self._by_extension.get(number, number)
        return None

    def _extension(self, name: str) -> str | None:
        before = _BEFORE_CONTEXT.search(name)
        if before is not None:
            return before.group(1)
        return self._rules.agent(name, EndpointKind.AGENT, None)


def phone(device: str, record: PhoneRecord, whose: Whose) -> Phone:
    return Phone(device=device, agent=whose.agent(device, device), state=record.state, since=record.since)


def queue(record: QueueRecord, whose: Whose, wrapup: Mapping[str, int]) -> Queue:
    """wrapup: wrap-up time of a queue by its name, seconds."""
    waiting = [
        WaitingCaller(call_id=w.call_id, caller=w.caller, position=position, joined_at=w.joined_at)
        for position, w in enumerate(record.waiting, 1)
    ]
    return Queue(
        name=record.name,
        strategy=record.strategy,
        max_waiting=record.max_waiting,
        service_level_seconds=record.service_level,
        average_hold_seconds=record.hold,
        average_talk_seconds=record.talk,
        completed=record.completed,
        abandoned=record.abandoned,
        members=[_member(m, whose, wrapup.get(record.name, 0)) for m in record.members.values()],
        waiting=waiting,
        longest_waiting_since=min((w.joined_at for w in waiting), default=None),
    )


def _member(record: MemberRecord, whose: Whose, queue_wrapup: int) -> QueueMember:
    seconds = (
        record.wrapup_seconds or queue_wrapup
    )  # the member's own goes before the queue's, as in app_queue
    over = record.last_call_at
    since = [moment for moment in record.talks.values() if moment is not None]
    return QueueMember(
        interface=record.interface,
        device=record.device,
        name=record.name,
        agent=whose.agent(record.device, record.interface),
        state=record.state,
        membership=record.membership,
        penalty=record.penalty,
        ring_in_use=record.ring_in_use,
        paused=record.paused,
        pause_reason=record.pause_reason,
        paused_at=record.paused_at,
        in_call=len(record.talks),
        talking_since=min(since) if len(since) == len(record.talks) and since else None,
        calls_taken=record.calls_taken,
        last_call_at=over,
        wrapup_until=over + timedelta(seconds=seconds) if over is not None and seconds else None,
        logged_in_at=record.logged_in_at,
    )
