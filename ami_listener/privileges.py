"""Which class of events (the words of `read=` in manager.conf and of `Events:` at login) carries which event."""

from collections.abc import Iterable

# As Asterisk 13 to 22 send them in each event's `Privilege:` header, without the ",all".
_CLASS_EVENTS: dict[str, tuple[str, ...]] = {
    "agent": (
        "AgentCalled",
        "AgentComplete",
        "AgentConnect",
        "AgentDump",
        "AgentRingNoAnswer",
        "QueueCallerAbandon",
        "QueueCallerJoin",
        "QueueCallerLeave",
        "QueueEntry",
        "QueueMemberAdded",
        "QueueMemberPause",
        "QueueMemberPenalty",
        "QueueMemberRemoved",
        "QueueMemberRinginuse",
        "QueueMemberStatus",
    ),
    "call": (
        "AttendedTransfer",
        "BlindTransfer",
        "BridgeCreate",
        "BridgeDestroy",
        "BridgeEnter",
        "BridgeLeave",
        "BridgeMerge",
        "ConfbridgeEnd",
        "ConfbridgeJoin",
        "ConfbridgeLeave",
        "ConfbridgeStart",
        "DeviceStateChange",
        "DialBegin",
        "DialEnd",
        "DialState",
        "ExtensionStatus",
        "Hangup",
        "HangupHandlerRun",
        "HangupRequest",
        "Hold",
        "LocalBridge",
        "LocalOptimizationBegin",
        "LocalOptimizationEnd",
        "MixMonitorStart",
        "MixMonitorStop",
        "MusicOnHoldStart",
        "MusicOnHoldStop",
        "NewAccountCode",
        "NewCallerid",
        "NewConnectedLine",
        "Newchannel",
        "Newstate",
        "OriginateResponse",
        "ParkedCall",
        "ParkedCallGiveUp",
        "ParkedCallSwap",
        "ParkedCallTimeOut",
        "Pickup",
        "PresenceStateChange",
        "Rename",
        "SoftHangupRequest",
        "UnParkedCall",
        "Unhold",
    ),
    "dialplan": ("Newexten", "VarSet"),
    "dtmf": ("DTMFBegin", "DTMFEnd"),
    "system": ("ContactStatus", "FullyBooted", "PeerStatus", "Registry", "Reload", "Shutdown"),
    "user": ("UserEvent",),
}

CLASS_OF: dict[str, str] = {event: name for name, events in _CLASS_EVENTS.items() for event in events}
"""Event name → class."""


def classes_for(events: Iterable[str]) -> frozenset[str] | None:
    """The classes that carry these events; None if one of them is not known, so that only `on` is safe."""
    names = frozenset(events)
    if not names <= CLASS_OF.keys():
        return None
    return frozenset(CLASS_OF[name] for name in names)


def events_header(events: frozenset[str] | None) -> str:
    """The value of `Events:` at login that brings these events and as little else as the PBX can tell apart."""
    classes = classes_for(events) if events is not None else None
    return ",".join(sorted(classes)) if classes else "on"


def filters(events: Iterable[str], variables: frozenset[str] = frozenset(), line_max: int = 900) -> list[str]:
    """Regular expressions for the `Filter` action that let through only these events; several add up.

    variables: of VarSet only those about these, if any are given. line_max keeps each expression below what Asterisk
    reads of one line (1024 bytes with the header's name).
    """
    names = set(events)
    out = []
    if variables and "VarSet" in names:
        names.remove("VarSet")
        # Asterisk matches the whole event as one string (POSIX extended, no line mode), so `.*` passes line ends.
        out = [
            f"^Event: VarSet.*Variable: _*({listed})[[:cntrl:]]"
            for listed in _alternatives(variables, line_max)
        ]
    return [f"^Event: ({listed})" for listed in _alternatives(names, line_max)] + out


def _alternatives(words: Iterable[str], line_max: int) -> list[str]:
    """`A|B|C`, in several if one would be longer than a line."""
    out: list[str] = []
    for word in sorted(words):
        if out and len(out[-1]) + 1 + len(word) <= line_max:
            out[-1] += f"|{word}"
        else:
            out.append(word)
    return out
