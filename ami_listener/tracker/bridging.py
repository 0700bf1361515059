"""Which channels are connected with which."""

from ami_listener.tracker.ledger import Ledger
from ami_listener.tracker.state import CallRecord, Channel


class Bridging(Ledger):
    """Bridges and the two halves of Local channels."""

    def enter_bridge(self, channel: Channel, bridge: str) -> None:
        if channel.bridge == bridge:
            return
        self.leave_bridge(channel)
        channel.bridge = bridge
        self.bridges.setdefault(bridge, {})[channel.uniqueid] = channel

    def leave_bridge(self, channel: Channel) -> None:
        bridge, channel.bridge = channel.bridge, None
        members = self.bridges.get(bridge) if bridge is not None else None
        if members is not None and bridge is not None:
            members.pop(channel.uniqueid, None)
            if not members:
                del self.bridges[bridge]
                self.rooms.discard(bridge)

    def other_half(self, channel: Channel) -> Channel | None:
        """`…;2` of `…;1` and back."""
        name = channel.name
        if name.endswith(";1"):
            return channel.call.helpers.get(name[:-1] + "2")
        if name.endswith(";2"):
            return channel.call.helpers.get(name[:-1] + "1")
        return None

    def on_behalf_of(self, channel: Channel) -> Channel:
        """Who dials, if this channel does: for a Local half the channel that has dialled its other half."""
        seen: set[str] = set()
        while channel.helper and channel.uniqueid not in seen:
            seen.add(channel.uniqueid)
            half = self.other_half(channel)
            dialler = channel.dialled_by or (half.dialled_by if half is not None else None)
            if dialler is None:
                break
            channel = dialler
        return channel

    def partner(self, channel: Channel) -> Channel | None:
        """Who is in conversation with this channel, also through Local halves."""
        at, seen = channel, {channel.uniqueid}
        while at.bridge is not None:
            members = [m for m in self.bridges.get(at.bridge, {}).values() if m.uniqueid not in seen]
            for member in members:
                if not member.helper:
                    return member
            half = next((h for m in members if (h := self.other_half(m)) is not None), None)
            if half is None or half.uniqueid in seen:
                return None
            seen.update(m.uniqueid for m in members)
            seen.add(half.uniqueid)
            at = half
        return None

    def who_talks(self, call: CallRecord) -> None:
        """Look who the caller talks to now."""
        anchor = call.anchor
        if anchor is None or anchor.bridge is None:
            return
        partner = self.partner(anchor)
        if partner is not None and partner.call is call and call.talking_to != partner.endpoint:
            call.talking_to = partner.endpoint
            self.note(call, "talking")
