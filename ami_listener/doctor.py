"""Why do cards not show? Asks the PBX what this account can see and says what to change.

`examine` collects facts over the AMI, `judge` turns them into findings; the second is a pure function.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ami_listener.clock import Clock, SystemClock
from ami_listener.connection import AmiAccount, AmiConnection, AmiError
from ami_listener.floor.events import FLOOR_WANTED
from ami_listener.message import AmiMessage
from ami_listener.privileges import classes_for, filters
from ami_listener.tracker.endpoints import EndpointKind, EndpointRules, endpoint_of
from ami_listener.tracker.events import WANTED
from shared.contracts.call import PbxLink

# Long enough for FullyBooted and for a busy PBX to show a few events; short enough for a person who waits.
LISTEN_SECONDS = 3.0
# The first AMI with one Linkedid a call and bridges: 2.5, Asterisk 13.
_OLDEST_AMI = (2, 5)

_WITHOUT_CLASS = {
    "call": "no call is seen and no card ever shows",
    "agent": "queue calls show without their queue, and who was rung in vain is not known",
    "dtmf": "the keys a caller presses in a menu are not shown",
    "dialplan": "the channel variables of CALLCARD_PBX__…__VARIABLES are not seen (UserEvent needs only 'user')",
    "user": "facts the dialplan sends by UserEvent (a contract number, a call to an unregistered phone) are not seen",
    "system": "the end of a PBX's start (FullyBooted) is not seen; calls of that minute may be missing",
}
_WITHOUT_ACTION = {
    "QueueStatus": (
        "read the queues",
        "reporting",
        "after a reconnect the waiting callers' queue is unknown",
    ),
    "CoreStatus": (
        "tell a restart of the PBX from a lost link",
        "reporting",
        "calls cut by a restart end as unknown",
    ),
    "Originate": ("dial", "originate", "call-backs and click-to-call will not work"),
}


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is right or wrong. advice: what to do, if anything."""

    level: Level
    sentence: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen of one PBX.

    link: UP, or why not in `trouble`. actions: names the account may send, None if the PBX did not say. read:
    classes the account may read, None if unknown. seen: event name → how often, while listening. members: queue →
    endpoints. channels: (endpoint, context, number) of each channel now, None if the list was refused.
    """

    where: str
    username: str
    link: PbxLink
    trouble: str | None = None
    banner: str | None = None
    version: str | None = None
    actions: frozenset[str] | None = None
    read: frozenset[str] | None = None
    seen: Mapping[str, int] = field(default_factory=dict)
    seen_classes: frozenset[str] = frozenset()
    timestamps: bool | None = None
    members: Mapping[str, tuple[str, ...]] | None = None
    channels: tuple[tuple[str, str, str], ...] | None = None
    listened: float = LISTEN_SECONDS


def judge(facts: Facts, rules: EndpointRules) -> list[Finding]:
    """Findings in the order a person should read them; the first error is the reason for no cards."""
    if facts.link is not PbxLink.UP:
        return [
            Finding(
                Level.ERROR,
                facts.trouble or f"{facts.where} cannot be reached.",
                None
                if facts.link is PbxLink.REFUSED
                else "Check CALLCARD_PBX__…__HOST and …__PORT, and bindaddr= and enabled= in manager.conf.",
            )
        ]
    findings = [
        Finding(
            Level.OK,
            f"Logged in to {facts.where} as {facts.username}: {facts.version or facts.banner or 'PBX'}.",
        )
    ]
    findings += _version(facts)
    findings += _classes(facts, rules.variables)
    findings += _actions(facts, rules.variables)
    findings += _endpoints(facts, rules)
    if facts.timestamps is False:
        findings.append(
            Finding(
                Level.OK,
                "Events carry no time of their own; the time of their arrival is used.",
                "timestampevents=yes in manager.conf makes recordings exact, it is not needed.",
            )
        )
    return findings


def _version(facts: Facts) -> list[Finding]:
    match = re.search(r"/(\d+)\.(\d+)", facts.banner or "")
    if match is None or (int(match[1]), int(match[2])) >= _OLDEST_AMI:
        return []
    return [
        Finding(
            Level.ERROR,
            f"{facts.banner} is older than Asterisk 13 and does not say which channels make one call.",
            "Use Asterisk 13 or newer.",
        )
    ]


def _classes(facts: Facts, variables: frozenset[str]) -> list[Finding]:
    wanted = WANTED | FLOOR_WANTED | {"FullyBooted"} | ({"VarSet"} if variables else set())
    needed = classes_for(wanted) or frozenset(_WITHOUT_CLASS)
    certain = facts.read is not None
    readable = (facts.read or frozenset()) | facts.seen_classes
    if "all" in readable:
        readable |= needed
    findings = []
    for name in sorted(needed, key=list(_WITHOUT_CLASS).index):
        if name in readable:
            continue
        consequence = _WITHOUT_CLASS[name]
        if certain:
            findings.append(
                Finding(
                    Level.ERROR if name == "call" else Level.WARN,
                    f"The account may not read '{name}' events: {consequence}.",
                    f"Add {name} to read= of [{facts.username}] in manager.conf, then 'manager reload'.",
                )
            )
        else:
            findings.append(
                Finding(
                    Level.WARN,
                    f"No '{name}' event came within {facts.listened:g} s, so it is not known whether the account may"
                    f" read them; without them {consequence}.",
                    "Make a test call while this runs again, or look at read= in manager.conf.",
                )
            )
    if not findings:
        findings.append(
            Finding(Level.OK, f"The account may read what is needed: {', '.join(sorted(needed))}.")
        )
    return findings


def _actions(facts: Facts, variables: frozenset[str]) -> list[Finding]:
    findings = []
    allowed = facts.actions
    if facts.channels is None:
        findings.append(
            Finding(
                Level.WARN,
                "The account may not list channels: calls that go on when the listener starts or reconnects are not"
                " seen, and ones that ended meanwhile stay open.",
                f"Add reporting to write= of [{facts.username}] in manager.conf.",
            )
        )
    for name, (purpose, privilege, consequence) in _WITHOUT_ACTION.items():
        if allowed is not None and name not in allowed:
            findings.append(
                Finding(
                    Level.WARN,
                    f"The account may not {purpose} ({name}): {consequence}.",
                    f"Add {privilege} to write= of [{facts.username}] in manager.conf.",
                )
            )
    if allowed is not None and "Filter" not in allowed:
        findings.append(_unfiltered(facts, variables))
    return findings


def _unfiltered(facts: Facts, variables: frozenset[str]) -> Finding:
    if not variables:
        return Finding(
            Level.OK,
            "The account may not filter events, so the PBX sends more than is needed; it is dropped here.",
            "On a busy PBX add system to write=, or an eventfilter= line, to save its CPU.",
        )
    lines = "\n".join(
        f"eventfilter = {expression}" for expression in filters(WANTED | FLOOR_WANTED | {"VarSet"}, variables)
    )
    return Finding(
        Level.WARN,
        "The account may not filter events, so for a few channel variables the PBX sends every VarSet and Newexten,"
        " more than all other events together; they are dropped here.",
        f"Add system to write= of [{facts.username}] in manager.conf, or these lines to it:\n{lines}",
    )


def _endpoints(facts: Facts, rules: EndpointRules) -> list[Finding]:
    kinds: dict[str, EndpointKind] = {}
    for endpoint, context, number in facts.channels or ():
        kinds[endpoint] = rules.kind(endpoint, context, number)
    members = {m for endpoints in (facts.members or {}).values() for m in endpoints}
    for member in members:
        kinds.setdefault(member, rules.kind(member, "", None))
    findings = []
    strangers = sorted(m for m in members if kinds[m] is not EndpointKind.AGENT)
    if strangers:
        findings.append(
            Finding(
                # Some strangers among agents are robots and mailboxes; nothing but strangers is a wrong guess of ours.
                Level.ERROR if len(strangers) == len(members) else Level.WARN,
                f"Queue members that are not taken for agents, so no card shows for them: {_some(strangers)}.",
                "Give their pattern in CALLCARD_PBX__…__AGENTS, e.g. PJSIP/1??.",
            )
        )
    if facts.members is not None and not members:
        findings.append(
            Finding(
                Level.WARN,
                "No queue of this PBX has a member: cards show for direct and ring-group calls only.",
                "Add members to the queues, or log the agents in.",
            )
        )
    agents = sorted(e for e, kind in kinds.items() if kind is EndpointKind.AGENT)
    trunks = sorted(e for e, kind in kinds.items() if kind is EndpointKind.TRUNK)
    if agents:
        findings.append(Finding(Level.OK, f"Agents' phones, as far as seen: {_some(agents)}."))
    if trunks:
        findings.append(Finding(Level.OK, f"Trunks, as far as seen: {_some(trunks)}."))
    if not agents and (rules.agents or rules.agent_patterns):
        findings.append(
            Finding(
                Level.WARN,
                "None of the agents' endpoints in the settings is a queue member or has a call now.",
                "Compare CALLCARD_PBX__…__AGENTS with 'pjsip show endpoints': PJSIP/101 is written with its PJSIP/.",
            )
        )
    return findings


def _some(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


async def examine(
    account: AmiAccount, *, listen: float = LISTEN_SECONDS, clock: Clock | None = None
) -> Facts:
    """Connect, ask, listen for some seconds, and leave. Never raises for what a PBX does."""
    clock = clock or SystemClock()
    where = f"{account.host}:{account.port}"
    events: list[AmiMessage] = []
    decided: asyncio.Future[tuple[PbxLink, str | None]] = asyncio.get_running_loop().create_future()

    def on_link(link: PbxLink, detail: str | None) -> None:
        if not decided.done():
            decided.set_result((link, detail))

    def on_event(event: AmiMessage, at: datetime) -> None:
        events.append(event)

    connection = AmiConnection("doctor", account, on_event=on_event, on_link=on_link, clock=clock)
    connection.start()
    try:
        link, trouble = await decided
        if link is not PbxLink.UP:
            return Facts(where, account.username, link, trouble, connection.banner)
        commands = await _answer(connection, "ListCommands")
        actions = frozenset(commands) - {"Response", "ActionID"} if commands is not None else None
        settings = await _answer(connection, "CoreSettings")
        version = settings.get("AsteriskVersion") if settings is not None else None
        channels = await _items(connection, "CoreShowChannels", "CoreShowChannel")
        if channels is None:
            channels = await _items(connection, "Status", "Status")
        members = await _items(connection, "QueueStatus", "QueueMember")
        read = await _read_classes(connection, account.username)
        await clock.sleep(listen)
        seen: dict[str, int] = {}
        for event in events:
            seen[event.event] = seen.get(event.event, 0) + 1
        return Facts(
            where,
            account.username,
            link,
            None,
            connection.banner,
            f"Asterisk {version}" if version else None,
            actions,
            read,
            seen,
            frozenset(event.get("Privilege", "").partition(",")[0] for event in events),
            any("Timestamp" in event for event in events) if events else None,
            None if members is None else _by_queue(members),
            None if channels is None else tuple(_described(c) for c in channels),
            listen,
        )
    finally:
        connection.close()
        await connection.wait_closed()


async def _answer(connection: AmiConnection, name: str, command: str | None = None) -> AmiMessage | None:
    try:
        if command is not None:
            return await connection.action(name, Command=command)
        return await connection.action(name)
    except AmiError:
        return None


async def _items(connection: AmiConnection, name: str, event: str) -> list[AmiMessage] | None:
    try:
        return [item for item in await connection.action_list(name) if item.event == event]
    except AmiError:
        return None


async def _read_classes(connection: AmiConnection, username: str) -> frozenset[str] | None:
    """AMI does not tell a user's read classes; its command line does, if the account may use it."""
    answer = await _answer(connection, "Command", f"manager show user {username}")
    for line in answer.all("Output") if answer is not None else ():
        name, _, value = line.partition(":")
        if name.strip().lower() == "read perm":
            return frozenset(word.strip() for word in value.split(",") if word.strip())
    return None


def _by_queue(members: list[AmiMessage]) -> dict[str, tuple[str, ...]]:
    queues: dict[str, tuple[str, ...]] = {}
    for member in members:
        # A Local member rings a phone; the phone is its state interface.
        endpoint = member.get("StateInterface") or member.get("Location", "")
        queue = member.get("Queue", "")
        queues[queue] = (*queues.get(queue, ()), endpoint)
    return queues


def _described(channel: AmiMessage) -> tuple[str, str, str]:
    return (
        endpoint_of(channel.get("Channel", "")),
        channel.get("Context", ""),
        channel.get("CallerIDNum", ""),
    )
