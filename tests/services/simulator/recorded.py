"""Recorded and simulated event streams, reduced to what must be equal: names for channels, bridges and times."""

import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

Header = tuple[str, str]
Event = list[Header]

TRACES = Path(__file__).parents[2] / "traces" / "22"

# Not part of a call's story: the PBX's own noise, security events of phones, and records written at some later moment.
NOISE = frozenset(
    {"VarSet", "Newexten", "TestEvent", "RTCPSent", "Cdr", "SuccessfulAuth", "ChallengeSent", "FullyBooted"}
)
# Told when the device layer gets to it, so their place between other events says nothing.
DEVICES = frozenset({"DeviceStateChange", "ExtensionStatus", "QueueMemberStatus"})
# Whole seconds and milliseconds that people took, and serial numbers.
TIMES = frozenset({"HoldTime", "TalkTime", "RingTime", "ParkingTimeout", "ParkingDuration", "ActionID", "Id"})
# Devices that are nobody's phone; the simulator does not tell theirs, and nobody asks.
NOBODYS = ("Local/", "park:", "confbridge:", "CBAnn/")
# How many are left in a bridge depends on which of two ends was quicker.
COUNTED_LATER = frozenset({"BridgeNumChannels"})


def packets(data: bytes) -> list[Event]:
    """The events of a byte stream, each as its headers in order."""
    events = []
    for block in data.decode().split("\r\n\r\n"):
        lines = [line for line in block.strip("\r\n").split("\r\n") if ":" in line]
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        if headers and headers[0][0] == "Event":
            events.append(headers)
    return events


def recorded(name: str) -> list[Event]:
    """The events of a trace."""
    return packets((TRACES / f"{name}.ami").read_bytes())


class Names:
    """Stable names for what differs from run to run: `PJSIP/trunk#1` is the first channel of the trunk."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.known: dict[str, str] = {}
        counts: dict[str, int] = defaultdict(int)
        for event in events:
            fields = dict(event)
            if fields["Event"] == "Newchannel":
                endpoint = fields["Channel"].rpartition("-")[0]
                counts[endpoint] += 1
                self.known[fields["Channel"]] = self.known[fields["Uniqueid"]] = (
                    f"{endpoint}#{counts[endpoint]}"
                )
            elif fields["Event"] == "BridgeCreate":
                counts["bridge"] += 1
                self.known[fields["BridgeUniqueid"]] = f"bridge#{counts['bridge']}"
        pattern = "|".join(re.escape(name) for name in sorted(self.known, key=len, reverse=True))
        self.pattern = re.compile(rf"(?<![\w.])(?:{pattern})(?![\w.])") if pattern else None

    def of(self, value: str) -> str:
        return self.pattern.sub(lambda match: self.known[match.group()], value) if self.pattern else value


def story(events: list[Event]) -> dict[str, list[Event]]:
    """What happened to each channel, device and bridge, in order, whole headers.

    Events of different ends may come in either order (the ends are different threads of the PBX), those of one end
    not: so an event stands in the story of each channel it names.
    """
    names = Names(events)
    stories: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        kind = event[0][1]
        if (
            kind in NOISE
            or kind == "OriginateResponse"
            or (kind.endswith("Complete") and kind != "AgentComplete")
        ):
            continue
        fields = dict(event)
        if kind in DEVICES:
            continue
        normal = [
            (
                name,
                "*"
                if name in TIMES or (kind == "BridgeLeave" and name in COUNTED_LATER)
                else names.of(value),
            )
            for name, value in event
        ]
        who = [fields[name] for name in fields if name.endswith("Channel") and fields[name] in names.known]
        for channel in who or [fields.get("BridgeUniqueid", "")]:
            stories[names.of(channel)].append(normal)
    return {who: in_order_of_name(told) for who, told in stories.items()}


def in_order_of_name(events: list[Event]) -> list[Event]:
    """Phones that ring together say so in any order: runs of the same dial event are sorted by the phone."""

    def run(event: Event) -> tuple[str | None, str | None]:
        fields = dict(event)
        return fields["Event"], fields.get("DialStatus")

    ordered = []
    for (kind, _), group in groupby(events, run):
        same = list(group)
        if kind in ("DialState", "DialEnd"):
            same.sort(key=lambda event: dict(event)["DestChannel"])
        ordered.extend(same)
    return ordered


def devices(events: list[Event], known_queues: frozenset[str]) -> dict[str, list[str]]:
    """The states each device, hint and queue member went through, in order."""
    states: dict[str, list[str]] = defaultdict(list)
    for event in events:
        fields = dict(event)
        kind = fields["Event"]
        if kind == "DeviceStateChange":
            device = fields["Device"]
            if device.startswith(NOBODYS) or (device.startswith("Queue:") and device[6:] not in known_queues):
                continue
            key, state = device, fields["State"]
        elif kind == "ExtensionStatus":
            key, state = f"hint {fields['Exten']}", fields["StatusText"]
        elif kind == "QueueMemberStatus" and fields["Queue"] in known_queues:
            key, state = f"{fields['Queue']} {fields['Interface']}", fields["Status"]
        else:
            continue
        if (
            not states[key] or states[key][-1] != state
        ):  # QueueMemberStatus repeats itself when InCall changes
            states[key].append(state)
    return dict(states)
