"""What the caller's keys and the dialplan tell. docs/dialplan.md has the recipes.

`UserEvent` needs the AMI class `user`, channel variables need `dialplan`, keys need `dtmf`: an account with
`read = call,agent` is sent none of them.
"""

import re
from datetime import datetime, timedelta

from ami_listener.message import AmiMessage
from ami_listener.tracker import sight
from ami_listener.tracker.book import Book
from ami_listener.tracker.endpoints import EndpointKind
from ami_listener.tracker.state import CallRecord, Channel, DigitsRecord, LegRecord
from shared.contracts.call import LegEndReason, Presentation

# Keys of one answer to one prompt come closer together than this; a menu asked again waits longer for the next.
_SAME_ANSWER = timedelta(seconds=4)
# A contract number has up to 20 digits; nobody types hundreds, but a fax tone or an attack may look like it.
_MAX_KEYS = 64
# More is no card any more; `shared.settings` accepts as many names.
_MAX_VARIABLES = 32
# A UserEvent's line may be 64 kB; a contract number, a path, a name of a campaign are not.
_MAX_LENGTH = 500
# In one call: a ring group that is unplugged; more is no dial string.
_MAX_UNREACHABLE = 20

# What a fact may be called, so that it can be a key in JSON, a column, a template's field.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PHONE = re.compile(r"[A-Za-z0-9]+/[^\s/;&]{1,100}")
_NO = frozenset({"0", "no", "false", "off"})
# prohib_not_screened and its sisters, as CALLERID(num-pres) writes them; and how people would.
_HIDDEN = ("prohib", "withheld", "restricted", "anonymous")

# Facts with a meaning of their own, in whatever case they are written; every other is kept as it comes.
_FACTS = frozenset({"Contract", "Agent", "Recording", "Presentation", "Unreachable", "Closed"})
# Variables that say them: CALLCARD_CONTRACT …
_PREFIX = "CALLCARD_"
# What MixMonitor itself sets: the path of the file it writes.
_RECORDER = "MIXMONITOR_FILENAME"

# Headers that every UserEvent of a channel has; the dialplan's own facts are the others.
_USUAL = frozenset(
    {
        "Event", "Privilege", "Channel", "ChannelState", "ChannelStateDesc", "CallerIDNum", "CallerIDName",
        "ConnectedLineNum", "ConnectedLineName", "Language", "AccountCode", "Context", "Exten", "Priority",
        "Uniqueid", "Linkedid", "UserEvent", "SystemName", "SequenceNumber", "File", "Line", "Func", "Timestamp",
        "ChanVariable", "ActionID",
    }
)  # fmt: skip


def digit(book: Book, event: AmiMessage, at: datetime) -> None:
    """A key of the caller's, while no person talks to him; keys of agents are feature codes."""
    channel = sight.known(book, event)
    key = event.get("Digit", "")
    if channel is None or event.get("Direction", "Received") != "Received" or len(key) != 1:
        return
    call = channel.call
    if channel is not call.anchor or channel.leg is not None or any(leg.talking for leg in call.legs):
        return
    menu = event.get("Context") or None
    last = call.digits[-1] if call.digits else None
    if last is not None and last.menu == menu and at - last.at < _SAME_ANSWER:
        if len(last.digits) >= _MAX_KEYS:
            return
        last.digits += key
        last.at = at
    elif len(call.digits) < _MAX_KEYS:
        call.digits.append(DigitsRecord(menu, key, at))
    else:
        return
    book.note(call, "digits")


def user_event(book: Book, event: AmiMessage, at: datetime) -> None:
    """`UserEvent(Callcard,Contract: 123,Recording: file.wav)` from the dialplan; `UserEvent(OutOfHours)` is short for
    its `Closed: yes`. Events of other names are somebody else's."""
    channel = sight.known(book, event)
    if channel is None:
        return
    name = event.get("UserEvent", "")
    if name == "OutOfHours":
        channel.call.closed = True
    elif name == "Callcard":
        facts = [(key, value) for key, value in event.items() if key not in _USUAL]
        # Each is learned, hence a list: a dialplan says the presentation of every caller, which is rarely news.
        if any([_learn(book, channel, key, value, at) for key, value in facts]):  # noqa: C419
            book.note(channel.call, "facts")


def varset(book: Book, event: AmiMessage, at: datetime) -> None:
    """A channel variable that the settings list. `CALLCARD_CONTRACT` says what `UserEvent(Callcard,Contract: …)` says;
    a variable of another name is kept under that name. Emptied, it is forgotten."""
    name = event.get("Variable", "").lstrip("_")
    if name not in book.rules.variables:
        return
    channel = sight.known(book, event)
    if channel is None:
        return
    call, value = channel.call, event.get("Value", "")
    if name == _RECORDER:
        # The first file holds the conversation from its start; what the dialplan says by itself goes before.
        changed = bool(value) and call.recording is None
        if changed:
            call.recording = clean(value)
    elif not value:
        changed = call.variables.pop(_fact(name), None) is not None
    else:
        changed = _learn(book, channel, _fact(name), value, at)
    if changed:
        book.note(call, "facts")


def clean(value: str) -> str:
    """A value as it may be shown and stored: one line, nothing invisible in it, not longer than a person reads."""
    if not value.isprintable():
        value = "".join(c if c.isprintable() else " " for c in value)
    return value.strip()[:_MAX_LENGTH]


def _fact(variable: str) -> str:
    """`Contract` of `CALLCARD_CONTRACT`; any other variable's name as it is."""
    fact = variable.removeprefix(_PREFIX).capitalize()
    return fact if variable.startswith(_PREFIX) and fact in _FACTS else variable


def _learn(book: Book, channel: Channel, name: str, value: str, at: datetime) -> bool:
    """Take over one fact; True if it says something new."""
    value, call = clean(value), channel.call
    name = name.capitalize() if name.capitalize() in _FACTS else name
    if not value or not _NAME.fullmatch(name):
        return False
    match name:
        case "Recording":
            changed, call.recording = call.recording != value, value
        case "Closed":
            closed = value.lower() not in _NO
            changed, call.closed = call.closed != closed, closed
        case "Presentation":
            changed = channel is call.anchor and value.lower().startswith(_HIDDEN) and _hide(call)
        case "Unreachable":
            changed = _unreachable(book, call, value, at)
        case _:
            room = name in call.variables or len(call.variables) < _MAX_VARIABLES
            changed = room and call.variables.get(name) != value
            if changed:
                call.variables[name] = value
    return changed


def _hide(call: CallRecord) -> bool:
    """The caller does not want to be named: not in what is told from now on, nor in what was written before."""
    if call.presentation is Presentation.WITHHELD:
        return False
    number, call.number, call.name = call.number, None, None
    call.presentation = Presentation.WITHHELD
    # Entries may be shared with updates that were told already, so they are replaced, not changed.
    call.timeline[:] = [
        entry.model_copy(update={"who": None}) if number is not None and entry.who == number else entry
        for entry in call.timeline
    ]
    return True


def _unreachable(book: Book, call: CallRecord, value: str, at: datetime) -> bool:
    """`PJSIP/101` (or `PJSIP/101&PJSIP/102`) could not be called: it is a leg that failed, though no channel of it ever
    was, so that the record says whose call was missed."""
    said = [leg.endpoint for leg in call.legs if leg.channel == leg.endpoint]
    new = [
        endpoint
        for part in value.split("&")[:_MAX_UNREACHABLE]
        if _PHONE.fullmatch(endpoint := part.strip()) and endpoint not in said
    ][: _MAX_UNREACHABLE - len(said)]
    for endpoint in new:
        agent = book.rules.agent(endpoint, EndpointKind.AGENT, None)
        leg = LegRecord(
            endpoint=endpoint, channel=endpoint, agent=agent, kind=EndpointKind.AGENT, number=None
        )
        book.add_leg(call, leg)
        book.show(call, at)
        book.end_leg(call, leg, LegEndReason.FAILED, at)
    return bool(new)
