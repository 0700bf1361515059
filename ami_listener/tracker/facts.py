"""What the caller's keys and the dialplan tell."""

from datetime import datetime, timedelta

from ami_listener.message import AmiMessage
from ami_listener.tracker import sight
from ami_listener.tracker.book import Book
from ami_listener.tracker.state import DigitsRecord

# Keys of one answer to one prompt come closer together than this; a menu asked again waits longer for the next.
_SAME_ANSWER = timedelta(seconds=4)
# A contract number has up to 20 digits; nobody types hundreds, but a fax tone or an attack may look like it.
_MAX_KEYS = 64
_MAX_VARIABLES = 32

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
    """`UserEvent(OutOfHours)` and `UserEvent(Callcard,Contract: 123,Recording: file.wav)` from the dialplan."""
    channel = sight.known(book, event)
    if channel is None:
        return
    call, name = channel.call, event.get("UserEvent", "")
    if name == "OutOfHours":
        call.closed = True
    elif name == "Callcard":
        for key, value in event.items():
            if key in _USUAL or not value:
                continue
            if key == "Recording":
                call.recording = value
            elif key in call.variables or len(call.variables) < _MAX_VARIABLES:
                call.variables[key] = value
        book.note(call, "facts")
