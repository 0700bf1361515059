"""Who a call is about: the caller, the number dialled, and who takes their place when they leave."""

from datetime import datetime

from ami_listener.tracker.bridging import Bridging
from ami_listener.tracker.endpoints import EndpointKind, extension, short_number
from ami_listener.tracker.state import CallRecord, Channel
from shared.contracts.call import Direction, Presentation
from shared.phone import NumberKind, absence

# Extensions that are steps of a dialplan, not something a person dialled.
_NOT_DIALLED = frozenset({"", "s", "h", "i", "t", "o", "a", "fax", "failed"})
# Extensions have up to 6 digits; an outside number, also a local one, has more. (112 and the like are not customers.)
_MAX_INTERNAL = 6


def text(value: str | None) -> str | None:
    """A header's value, None if the PBX says that it does not know."""
    return None if absence(value) is NumberKind.MISSING else value


def dialled(exten: str | None) -> str | None:
    """An extension if a person can have dialled it."""
    return None if exten is None or exten in _NOT_DIALLED else exten


class Parties(Bridging):
    """The caller and the called number."""

    def arrive(self, channel: Channel, at: datetime) -> None:
        """A real channel begins the call: the caller's."""
        call, rules = channel.call, self.rules
        call.anchor = channel
        call.endpoint = channel.endpoint
        number = channel.number
        if channel.kind is EndpointKind.AGENT:
            number = extension(channel.endpoint, number) or number
        self.show_number(call, number, channel.caller_name, None)
        did = dialled(channel.exten)
        call.did = rules.number(did)
        if channel.kind is EndpointKind.TRUNK:
            call.direction = Direction.INBOUND
        elif channel.kind is EndpointKind.AGENT:
            call.direction = (
                Direction.INTERNAL if did is None or _is_internal_number(did) else Direction.OUTBOUND
            )
        else:
            # Neither name nor context tell: a caller with a phone number comes from outside.
            call.direction = Direction.INTERNAL if short_number(channel.number) else Direction.INBOUND
        self.show(call, at)

    def show(self, call: CallRecord, at: datetime) -> None:
        """From now on the call is told."""
        if not call.visible:
            call.visible = True
            self.tell(call, at, "arrived", call.number or call.endpoint, call.did)
            self.note(call, "started")

    def show_number(
        self, call: CallRecord, number: str | None, name: str | None, presentation: str | None
    ) -> None:
        """Who calls, as far as the PBX may tell."""
        prohibited = presentation is not None and "prohib" in presentation.lower()
        if prohibited or (number is not None and absence(number) is NumberKind.WITHHELD):
            call.number, call.presentation = None, Presentation.WITHHELD
        elif number is not None:
            call.number, call.presentation = self.rules.number(number), Presentation.ALLOWED
        if name is not None and call.name is None and absence(name) is None:
            call.name = name

    def caller_left(self, call: CallRecord) -> None:
        """The caller's side hung up: what was going on then decides how the call ended."""
        if call.caller_left:
            return
        call.caller_left = True
        waiting = call.queue is not None and call.queue.left_at is None
        call.left_while_waiting = waiting or any(leg.alive and leg.answered_at is None for leg in call.legs)

    def hand_over(self, call: CallRecord, leaving: Channel, staying: Channel | None) -> None:
        """The anchor left by a transfer: the call goes on about who stays, the customer."""
        if call.anchor is not leaving:
            return
        if staying is None or staying.call is not call or staying is leaving or staying.helper:
            others = [c for c in call.channels.values() if c is not leaving and not c.helper]
            staying = next((c for c in others if c.kind is EndpointKind.TRUNK), others[0] if others else None)
        call.anchor = staying
        if staying is not None and call.talking_to == staying.endpoint:
            partner = self.partner(staying)
            call.talking_to = partner.endpoint if partner is not None else None

    def _caller_is(self, call: CallRecord, channel: Channel) -> None:
        if channel.kind is not EndpointKind.AGENT:
            return
        call.endpoint = channel.endpoint
        call.number, call.name = extension(channel.endpoint, channel.number), None
        call.presentation = Presentation.ALLOWED if call.number else Presentation.UNAVAILABLE

    def _did(self, call: CallRecord, number: str | None, *, guessed: bool, own: str | None) -> None:
        if number is None or number == own or absence(number) is not None:
            return
        if call.did is None or (call.did_guessed and not guessed):
            call.did, call.did_guessed = self.rules.number(number), guessed
            if call.visible:
                self.note(call, "dialled")

    def dialled_number(self, call: CallRecord, number: str | None) -> None:
        """What an originated call is connected to: better than the caller id it was begun with."""
        if call.originated and number is not None:
            self._did(call, number, guessed=False, own=None)
            if call.answered_at is None:
                internal = call.did is not None and _is_internal_number(call.did)
                call.direction = Direction.INTERNAL if internal else Direction.OUTBOUND


def _is_internal_number(number: str) -> bool:
    """101, *8, 801 against 89003334455."""
    return len(number.lstrip("+*#")) <= _MAX_INTERNAL or not number.lstrip("+").isdigit()
