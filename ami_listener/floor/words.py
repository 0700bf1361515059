"""Reading the PBX's words: states of devices, numbers, moments, callers."""

from collections.abc import Callable
from datetime import UTC, datetime

from ami_listener.message import AmiMessage
from ami_listener.tracker.endpoints import HELPER_TECHNOLOGIES, IGNORED_TECHNOLOGIES
from shared.contracts.call import Caller, Presentation
from shared.contracts.floor import PhoneState
from shared.phone import NumberKind, absence

# The order of Asterisk's enum ast_device_state: QueueMember rows give its numbers.
_BY_NUMBER = (
    PhoneState.UNKNOWN,
    PhoneState.NOT_IN_USE,
    PhoneState.IN_USE,
    PhoneState.BUSY,
    PhoneState.INVALID,
    PhoneState.UNAVAILABLE,
    PhoneState.RINGING,
    PhoneState.RING_IN_USE,
    PhoneState.ON_HOLD,
)
# DeviceStateChange writes NOT_INUSE, EndpointList "Not in use": the letters are the same.
_BY_LETTERS = {state.value.replace("_", ""): state for state in PhoneState} | {
    "ring+inuse": PhoneState.RING_IN_USE
}
# ExtensionStatus is a set of bits; -1 and -2 are hints that were removed.
_BY_BITS = {
    "0": PhoneState.NOT_IN_USE,
    "1": PhoneState.IN_USE,
    "2": PhoneState.BUSY,
    "4": PhoneState.UNAVAILABLE,
    "8": PhoneState.RINGING,
    "9": PhoneState.RING_IN_USE,
    "16": PhoneState.ON_HOLD,
    "17": PhoneState.IN_USE,  # one call held, one talked in
}
IDLE = frozenset({PhoneState.NOT_IN_USE, PhoneState.UNAVAILABLE, PhoneState.INVALID})
"""States of a phone on which nobody talks."""

# The year 2100: beyond it a header is no moment, and datetime would raise much later.
_LAST_MOMENT = 4_102_444_800


def whole(value: str | None) -> int | None:
    """A header that should be a whole number that is not negative."""
    return int(value) if value and len(value) < 16 and value.isascii() and value.isdigit() else None


def moment(value: str | None) -> datetime | None:
    """A header in seconds since 1970; 0 means never."""
    seconds = whole(value)
    return datetime.fromtimestamp(seconds, UTC) if seconds and seconds < _LAST_MOMENT else None


def state_by_number(value: str | None) -> PhoneState:
    """`Status` of a queue's member."""
    number = whole(value)
    return _BY_NUMBER[number] if number is not None and number < len(_BY_NUMBER) else PhoneState.UNKNOWN


def device_state(row: AmiMessage) -> tuple[str, PhoneState] | None:
    """Device and state of a row, whichever list or event it is from: DeviceStateChange (DeviceStateList), EndpointList
    (PJSIPShowEndpoints) or ExtensionStatus (ExtensionStateList); None if it is about no single device."""
    if "Device" in row:
        return row["Device"], _by_letters(row.get("State"))
    if "ObjectName" in row:
        return f"PJSIP/{row['ObjectName']}", _by_letters(row.get("DeviceState"))
    # A hint of several devices (a phone and its DND key) says what neither of them alone is.
    device = row.get("Hint", "").partition(",")[0]
    if not device or "&" in device:
        return None
    return device, _BY_BITS.get(row.get("Status", ""), PhoneState.UNKNOWN)


def _by_letters(value: str | None) -> PhoneState:
    letters = (value or "").lower().replace("_", "").replace(" ", "")
    return _BY_LETTERS.get(letters, PhoneState.UNKNOWN)


def is_device(name: str) -> bool:
    """`PJSIP/agent101` is one; `Queue:support_pause_PJSIP/agent101`, `Custom:DND101` and `Local/…` are none."""
    technology, slash, rest = name.partition("/")
    return (
        bool(slash and rest)
        and technology.isalnum()
        and technology not in HELPER_TECHNOLOGIES
        and technology not in IGNORED_TECHNOLOGIES
    )


def caller_of(row: AmiMessage, number_of: Callable[[str | None], str | None]) -> Caller:
    """Who waits, by CallerIDNum and CallerIDName. number_of: a number as E.164 where it is one."""
    number, name = row.get("CallerIDNum", ""), row.get("CallerIDName", "")
    match absence(number):
        case NumberKind.WITHHELD:
            presentation, shown = Presentation.WITHHELD, None
        case NumberKind.MISSING:
            presentation, shown = Presentation.UNAVAILABLE, None
        case _:
            presentation, shown = Presentation.ALLOWED, number_of(number)
    return Caller(number=shown, name=name if absence(name) is None else None, presentation=presentation)
