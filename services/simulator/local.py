"""Local channels: the PBX calls itself. One half is called, the other runs the dialplan that calls a phone."""

from services.simulator.call import LocalPair
from services.simulator.channel import Channel
from services.simulator.packets import CALL, headers, packet
from services.simulator.pbx import Pbx


def open_pair(pbx: Pbx, exten: str, context: str, linked_to: Channel | None) -> LocalPair:
    """Both halves appear, without numbers yet."""
    endpoint = f"Local/{exten}@{context}"
    serial = pbx.next_local()
    halves: list[Channel] = []
    for half, state in ((1, 0), (2, 4)):
        channel = pbx.new_channel(
            endpoint,
            state,
            number=None,
            party=None,
            context=context,
            exten=exten,
            linked_to=linked_to or (halves[0] if halves else None),
            name=f"{endpoint}-{serial:08x};{half}",
        )
        channel.dnid = exten
        halves.append(channel)
    return LocalPair(*halves)


def tell_pair(pbx: Pbx, pair: LocalPair, *, optimizes: bool) -> None:
    """LocalBridge: the halves belong together."""
    body = (
        pair.one.render("LocalOne")
        + pair.two.render("LocalTwo")
        + headers(
            ("Context", pair.two.context),
            ("Exten", pair.two.exten),
            ("LocalOptimization", "Yes" if optimizes else "No"),
        )
    )
    pbx.out.append(packet("LocalBridge", CALL, body, pair.one.uniqueid))


def ring_front(pbx: Pbx, caller: Channel | None, pair: LocalPair, *, told: bool) -> None:
    """The phone behind rings, so the half in front does. told: who calls it is told whom it reached."""
    if told:
        pair.one.identify(pair.two.connected_number, pair.two.connected_name)
    pbx.set_state(pair.one, 5)
    if told:
        pbx.identify(pair.one, pair.one.number, pair.one.party)
    pbx.dial("DialState", caller, pair.one, "DialStatus: RINGING\r\n")


def optimize(
    pbx: Pbx, pair: LocalPair, mover: Channel, replaced: Channel, *, asked_first: bool = False
) -> None:
    """Asterisk takes the Local channel out of the way: `mover` takes the place of the far half, `replaced`.

    asked_first: the other half is asked to hang up before it has left its bridge; the traces have both orders.
    """
    near = pair.two if replaced is pair.one else pair.one
    bridge = replaced.bridge
    assert bridge is not None
    halves = pair.one.render("LocalOne") + pair.two.render("LocalTwo")
    serial = pbx.next_optimization()
    begin = halves + mover.render("Source") + headers(("DestUniqueId", pair.two.uniqueid), ("Id", serial))
    pbx.out.append(packet("LocalOptimizationBegin", CALL, begin, pair.one.uniqueid))
    pbx.leave(mover, stays=True)
    pbx.leave(replaced, stays=True)
    pbx.enter(mover, bridge, swap=replaced)
    end = halves + headers(("Success", "No"), ("Id", serial))
    pbx.out.append(packet("LocalOptimizationEnd", CALL, end, pair.one.uniqueid))
    if asked_first:
        pbx.request_hangup(pair.two, 16)
    pbx.leave(near)
    if not asked_first:
        pbx.request_hangup(pair.two, 16)
    pbx.soft_hangup(pair.two)
    pbx.hangup(pair.two, 16)
    pbx.hangup(pair.one, 16)
