"""Calls that nobody has recorded yet, written down as the events a PBX sends for them: `tests/traces/written`.

A file says in comments what it is modelled on, then names channels, then tells events, then, below `---`, the calls
that come of it:

    trunk = SIP/provider-00000010 10 cid=+79001112233 ctx=from-trunk exten=+78000000003
    p101 = SIP/101-00000011 11 of=trunk cid=101
    0.0 Newchannel trunk
    0.1 DialBegin trunk >p101 DialString=101
    0.9 Newstate p101 state=6

A channel is `NAME UNIQUEID`, with what it shows of itself: `of` (whose Linkedid; its own without), `cid`, `ctx`,
`exten`, `state`, `name`. An event names its seconds, its channel, `>` the called one, `Prefix=@` others
(`Transferee=@trunk`), and headers of its own. A small letter changes what the channel shows from then on.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from ami_listener.message import AmiMessage
from tests.ami_listener.tracker.recordings import START, Timed

FOLDER = Path(__file__).parents[2] / "traces" / "written"
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
DIVIDER = "---\n"
_EPOCH = "1500000000"
_SHOWN = {
    "cid": "CallerIDNum",
    "ctx": "Context",
    "exten": "Exten",
    "state": "ChannelState",
    "name": "Channel",
}


def parts(name: str) -> tuple[str, str]:
    """The story and the calls that come of it."""
    story, _, calls = (FOLDER / f"{name}.txt").read_text().partition(DIVIDER)
    return story, calls


def events(name: str) -> list[Timed]:
    channels: dict[str, dict[str, str]] = {}
    found = [timed for line in parts(name)[0].splitlines() for timed in _line(line, channels)]
    for _, message in found:
        if "BridgeUniqueid" in message:  # b1 of one story is not b1 of another
            message["BridgeUniqueid"] += f"-{name}"
    return found


def _line(line: str, channels: dict[str, dict[str, str]]) -> Iterator[Timed]:
    words = line.partition("#")[0].split()
    if not words:
        return
    if words[1] == "=":
        uniqueid = f"{_EPOCH}.{words[3]}"
        channels[words[0]] = {
            "Channel": words[2],
            "ChannelState": "0",
            "CallerIDNum": "<unknown>",
            "CallerIDName": "<unknown>",
            "Context": "from-internal",
            "Exten": "s",
            "Uniqueid": uniqueid,
            "Linkedid": uniqueid,
        }
        _show(channels[words[0]], words[4:], channels)
        return
    seconds, event, *rest = words
    if rest and rest[0] in channels:
        _show(channels[rest[0]], [word for word in rest if word[0].islower() and "=" in word], channels)
    message = {"Event": event}
    for word in rest:
        key, equals, value = word.partition("=")
        if not equals:
            prefix, channel = ("Dest", word[1:]) if word.startswith(">") else ("", word)
            message |= {f"{prefix}{k}": v for k, v in channels[channel].items()}
        elif value.startswith("@"):
            message |= {f"{key}{k}": v for k, v in channels[value[1:]].items()}
        elif key[0].isupper():
            message[key] = value
    yield START + timedelta(seconds=float(seconds)), AmiMessage(message)


def _show(channel: dict[str, str], words: list[str], channels: dict[str, dict[str, str]]) -> None:
    for word in words:
        key, _, value = word.partition("=")
        if key == "of":
            channel["Linkedid"] = channels[value]["Linkedid"]
        else:
            channel[_SHOWN[key]] = value
