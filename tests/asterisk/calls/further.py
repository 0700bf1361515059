"""More calls, of kinds that `scenarios` does not hold: parking, conferences, chains of forwards and transfers, queues
that overflow, dialplans made of Local channels. `ALL` is those of `scenarios` and these."""
import asyncio

from tests.asterisk.calls.scenarios import ALL, CLIENT, SUPPORT, answered_on, pstn, scenario, talk

__all__ = ["ALL"]

OVERFLOW, ROOM, HELPDESK, EVERYONE, GROUP = (f"+7800000000{n}" for n in (5, 6, 7, 8, 9))
MOBILE = "+79003334455"
PARK, PARK_QUICK, CONFERENCE = "700", "750", "650"


async def answer(call, after=0.4):
    await asyncio.sleep(after)
    await call.answer()
    return call


async def parked(w, agent_leg, lot=PARK):
    """The agent parks his caller; returns the number to fetch him with."""
    await agent_leg.refer(lot)
    e = await w.ami.event("ParkedCall")
    await agent_leg.wait("ended")
    return e["ParkingSpace"]


def moved(w, call, number):
    """The phone forwards the call by itself."""
    host, port = w.trunk.server
    call.reject(302, "Moved Temporarily", extra=[("Contact", f"<sip:{number}@{host}:{port}>")])


# --- parking


@scenario
async def park_retrieve(w):
    """+79001112233 in queue support, agent101 answers and parks the caller (REFER to 700); agent102 dials the place and talks; the caller hangs up."""
    c, a1 = await answered_on(w, 101)
    place = await parked(w, a1)
    await asyncio.sleep(1)
    k = await w.a[102].call(place)
    await k.wait("answered")
    await talk()
    assert not c.ended.is_set()
    await c.hangup()
    await k.wait("ended")


@scenario
async def park_feature(w):
    """The same with the feature code: agent101 dials *3 in the call; agent102 fetches the caller and hangs up."""
    c, a1 = await answered_on(w, 101)
    await a1.dtmf("*3")
    e = await w.ami.event("ParkedCall")
    # Its place is said to him; he does not wait for the end of it.
    await asyncio.sleep(0.5)
    await a1.hangup()
    k = await w.a[102].call(e["ParkingSpace"])
    await k.wait("answered")
    await talk()
    await k.hangup()
    await c.wait("ended")


@scenario
async def park_timeout(w):
    """+79001112233 in queue support, agent101 answers and parks the caller in 750, whose calls come back after 3 s; nobody fetches him; agent101 rings again and answers; the caller hangs up."""
    c, a1 = await answered_on(w, 101)
    await parked(w, a1, PARK_QUICK)
    back = await answer(await w.a[101].next_call())
    await w.ami.event("ParkedCallTimeOut")
    await talk()
    await c.hangup()
    await back.wait("ended")


@scenario
async def park_abandoned(w):
    """+79001112233 in queue support, agent101 answers and parks the caller (REFER to 700); the caller gives up 1 s later."""
    c, a1 = await answered_on(w, 101)
    await parked(w, a1)
    await asyncio.sleep(1)
    await c.hangup()
    await w.ami.event("ParkedCallGiveUp")


# --- conferences


@scenario
async def conference_of_three(w):
    """agent101 and agent102 dial 650 (ConfBridge), +79001112233 calls +78000000006 and comes into the same room; agent101 leaves, then the caller, then agent102."""
    k1 = await w.a[101].call(CONFERENCE)
    await k1.wait("answered")
    c = await pstn(w, ROOM)
    await c.wait("answered")
    await asyncio.sleep(0.5)
    k2 = await w.a[102].call(CONFERENCE)
    await k2.wait("answered")
    await talk()
    await k1.hangup()
    await asyncio.sleep(0.5)
    await c.hangup()
    await asyncio.sleep(1.5)
    await k2.hangup()
    await w.ami.event("ConfbridgeEnd")


@scenario
async def conference_by_transfer(w):
    """+79001112233 in queue support, agent101 answers, REFERs the caller to 650 (ConfBridge) and dials 650 himself; agent102 dials it too; the caller hangs up, then the agents."""
    c, a1 = await answered_on(w, 101)
    await a1.refer(CONFERENCE)
    await a1.wait("ended")
    lines = []
    for n in (101, 102):
        k = await w.a[n].call(CONFERENCE)
        await k.wait("answered")
        lines.append(k)
        await asyncio.sleep(0.5)
    await talk()
    await c.hangup()
    await asyncio.sleep(1.5)
    for k in lines:
        await k.hangup()
    await w.ami.event("ConfbridgeEnd")


# --- forwarding


@scenario
async def forward_302_chain(w):
    """+79005556677 calls the direct number of agent101, whose phone redirects (302) to 102, whose phone redirects to 103; agent103 answers; the caller hangs up."""
    c = await pstn(w, "+78430000101", "+79005556677")
    moved(w, await w.a[101].next_call(ring=False), "102")
    moved(w, await w.a[102].next_call(ring=False), "103")
    a3 = await answer(await w.a[103].next_call())
    await talk()
    await c.hangup()
    await a3.wait("ended")


@scenario
async def forward_302_external(w):
    """+79005556677 calls the direct number of agent101, whose phone redirects (302) to the mobile +79003334455; the mobile answers; the caller hangs up."""
    c = await pstn(w, "+78430000101", "+79005556677")
    moved(w, await w.a[101].next_call(ring=False), MOBILE)
    m = await answer(await w.trunk.next_call())
    await talk()
    await c.hangup()
    await m.wait("ended")


@scenario
async def forward_302_no_answer(w):
    """+79005556677 calls the direct number of agent101, whose phone redirects (302) to 102; agent102 rings; the caller gives up."""
    c = await pstn(w, "+78430000101", "+79005556677")
    moved(w, await w.a[101].next_call(ring=False), "102")
    a2 = await w.a[102].next_call()
    await asyncio.sleep(1)
    await c.hangup()
    await a2.wait("ended")


@scenario
async def forward_external_no_answer(w):
    """+79005556677 calls +78430000201: agent101 rings for 2 s, then the dialplan calls his mobile +79003334455 through the trunk; the mobile answers; the mobile hangs up."""
    c = await pstn(w, "+78430000201", "+79005556677")
    a1 = await w.a[101].next_call()
    m = await answer(await w.trunk.next_call())
    assert a1.ended.is_set()
    await talk()
    await m.hangup()
    await c.wait("ended")


@scenario
async def forward_external_always(w):
    """+79005556677 calls +78430000301, which the dialplan sends on to +79003334455 through the trunk: no phone of ours rings; the mobile answers; the caller hangs up."""
    c = await pstn(w, "+78430000301", "+79005556677")
    m = await answer(await w.trunk.next_call())
    await talk()
    await c.hangup()
    await m.wait("ended")


@scenario
async def forward_external_missed(w):
    """+79005556677 calls +78430000301; the mobile +79003334455 rings and does not answer; the caller gives up."""
    c = await pstn(w, "+78430000301", "+79005556677")
    m = await w.trunk.next_call()
    await asyncio.sleep(1)
    await c.hangup()
    await m.wait("ended")


@scenario
async def follow_me_mobile(w):
    """+79005556677 calls +78430000401: agent101 and, over a Local channel, his mobile +79003334455 ring at once; the mobile answers; the caller hangs up."""
    c = await pstn(w, "+78430000401", "+79005556677")
    a1 = await w.a[101].next_call()
    m = await answer(await w.trunk.next_call())
    await a1.wait("ended")
    await talk()
    await c.hangup()
    await m.wait("ended")


@scenario
async def follow_me_agent(w):
    """+79005556677 calls +78430000401: agent101 and his mobile +79003334455 ring at once; agent101 answers and hangs up."""
    c = await pstn(w, "+78430000401", "+79005556677")
    m = await w.trunk.next_call()
    a1 = await answer(await w.a[101].next_call())
    await m.wait("ended")
    await talk()
    await a1.hangup()
    await c.wait("ended")


# --- several transfers in a row


@scenario
async def three_transfers(w):
    """+79001112233 in queue support, agent101 answers and blind-transfers (REFER) to 102; agent102 answers, calls 103 on a second line, they talk, agent102 completes with REFER+Replaces; agent103 blind-transfers to 104; agent104 answers; the caller hangs up."""
    c, a1 = await answered_on(w, 101)
    await a1.refer("102")
    a2 = await answer(await w.a[102].next_call())
    await a1.wait("ended")
    await talk()
    await a2.hold()
    k = await w.a[102].call("103")
    a3 = await answer(await w.a[103].next_call())
    await k.wait("answered")
    await talk()
    await a2.refer("103", replaces=k)
    await w.ami.event("AttendedTransfer")
    await asyncio.sleep(0.3)
    await a2.hangup()
    await k.hangup()
    await talk()
    await a3.refer("104")
    a4 = await answer(await w.a[104].next_call())
    await a3.wait("ended")
    await talk()
    assert not c.ended.is_set()
    await c.hangup()
    await a4.wait("ended")


@scenario
async def blind_transfer_back(w):
    """+79001112233 in queue support, agent101 answers, REFERs to 102; agent102 answers, REFERs back to 101; agent101 answers again and hangs up."""
    c, a1 = await answered_on(w, 101)
    await a1.refer("102")
    a2 = await answer(await w.a[102].next_call())
    await a1.wait("ended")
    await talk()
    await a2.refer("101")
    again = await answer(await w.a[101].next_call())
    await a2.wait("ended")
    await talk()
    await again.hangup()
    await c.wait("ended")


@scenario
async def transfer_outside(w):
    """+79001112233 in queue support, agent101 answers, REFERs to the mobile 89003334455; the mobile answers; the caller hangs up."""
    c, a1 = await answered_on(w, 101)
    await a1.refer("89003334455")
    m = await answer(await w.trunk.next_call())
    await a1.wait("ended")
    await talk()
    await c.hangup()
    await m.wait("ended")


# --- from one queue to another


@scenario
async def queue_overflow_answered(w):
    """+79001112233 calls +78000000005: 3 s in queue support, where agent101 rings; then queue billing, where all ring; agent103 answers; the caller hangs up."""
    c = await pstn(w, OVERFLOW)
    first = await w.a[101].next_call()
    await first.wait("ended")
    legs = {n: await w.a[n].next_call() for n in w.a}
    await answer(legs[103])
    for n in (101, 102, 104):
        await legs[n].wait("ended")
    await talk()
    await c.hangup()
    await legs[103].wait("ended")


@scenario
async def queue_overflow_abandoned(w):
    """+79001112233 calls +78000000005: 3 s in queue support, where agent101 rings; then queue billing, where all ring; the caller gives up."""
    c = await pstn(w, OVERFLOW)
    first = await w.a[101].next_call()
    await first.wait("ended")
    legs = {n: await w.a[n].next_call() for n in w.a}
    await asyncio.sleep(1)
    await c.hangup()
    for leg in legs.values():
        await leg.wait("ended")


# --- dialplans made of Local channels


@scenario
async def local_queue_kept(w):
    """+79001112233 calls +78000000007 (queue helpdesk, Local members that dial Local channels); the member with /n, agent101, answers; the caller hangs up."""
    c = await pstn(w, HELPDESK)
    a1 = await answer(await w.a[101].next_call())
    await w.ami.event("AgentConnect")
    await talk()
    await c.hangup()
    await a1.wait("ended")


@scenario
async def local_queue_optimised(w):
    """+79001112233 calls +78000000007; agent101 refuses (486); the member without /n, agent102, answers: his Local channels are optimised away; agent102 hangs up."""
    c = await pstn(w, HELPDESK)
    a1 = await w.a[101].next_call()
    await asyncio.sleep(0.3)
    a1.reject(486)
    a2 = await answer(await w.a[102].next_call())
    await w.ami.event("AgentConnect")
    await talk()
    await a2.hangup()
    await c.wait("ended")


@scenario
async def local_queue_transfer(w):
    """+79001112233 calls +78000000007; agent101 (Local with /n) answers and blind-transfers (REFER) to 103; agent103 answers; the caller hangs up."""
    c = await pstn(w, HELPDESK)
    a1 = await answer(await w.a[101].next_call())
    await w.ami.event("AgentConnect")
    await talk()
    await a1.refer("103")
    a3 = await answer(await w.a[103].next_call())
    await a1.wait("ended")
    await talk()
    await c.hangup()
    await a3.wait("ended")


@scenario
async def local_queue_ringall(w):
    """+79001112233 calls +78000000008 (queue everyone, ringall over Local channels with and without /n); agents 101-103 ring, agent103 answers; the caller hangs up."""
    c = await pstn(w, EVERYONE)
    legs = {n: await w.a[n].next_call() for n in (101, 102, 103)}
    await answer(legs[103])
    for n in (101, 102):
        await legs[n].wait("ended")
    await talk()
    await c.hangup()
    await legs[103].wait("ended")


@scenario
async def local_ring_group(w):
    """+79005556677 calls +78000000009, which dials three Local channels at once; agents 101-103 ring, agent102 answers; agent102 hangs up."""
    c = await pstn(w, GROUP, "+79005556677")
    legs = {n: await w.a[n].next_call() for n in (101, 102, 103)}
    await answer(legs[102])
    for n in (101, 103):
        await legs[n].wait("ended")
    await talk()
    await legs[102].hangup()
    await c.wait("ended")


# --- the same number twice


@scenario
async def same_number_twice(w):
    """Two calls from +79001112233 to +78000000003 at the same moment (a company's one number); agent101 and agent102 answer; each caller hangs up, the second first."""
    c1, c2 = await asyncio.gather(pstn(w, SUPPORT, CLIENT), pstn(w, SUPPORT, CLIENT))
    a1 = await w.a[101].next_call()
    a2 = await w.a[102].next_call()
    await answer(a1)
    await answer(a2)
    for c in (c1, c2):
        await c.wait("answered")
    await talk()
    await c2.hangup()
    await asyncio.sleep(0.5)
    await c1.hangup()
    for leg in (a1, a2):
        await leg.wait("ended")


@scenario
async def same_number_one_abandons(w):
    """+79001112233 calls +78000000003 and talks to agent101; a second call from the same number to the same queue rings agent102 and is given up; the first goes on and is hung up by the agent."""
    c1, a1 = await answered_on(w, 101)
    c2 = await pstn(w, SUPPORT, CLIENT)
    a2 = await w.a[102].next_call()
    await asyncio.sleep(0.7)
    await c2.hangup()
    await a2.wait("ended")
    await talk(0.7)
    assert not c1.ended.is_set()
    await a1.hangup()
    await c1.wait("ended")
