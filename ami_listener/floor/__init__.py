"""Agents' phones and queues as the PBX sees them: AMI events and snapshots in, `shared.contracts.floor` out. Pure.

`floor.py` is the door; `state.py` holds what is known; `phones.py` and `queues.py` translate events; `resync.py`
settles it with what the PBX says; `view.py` makes the contract; `words.py` reads the PBX's words.

Decisions where the PBX leaves it open:

- `handle` only notes what changed. `take` gives the changes, once and whole: whoever publishes takes as often as
  readers want to know, so that a storm of QueueMemberStatus (one a queue and member for each change of a phone) costs
  a comparison of headers each, and one update a queue.
- Positions are the order of the list: a caller who leaves moves the others up without an event of their own.
- `in_call` counts AgentConnect to AgentComplete of this queue. The PBX's own flag InCall (since Asterisk 13) repairs
  it: set, somebody talks; not set on an idle phone, nobody does. It comes too late to be the source.
- A member's wrap-up is the one of the member; the queue's own `wrapuptime` is in no AMI answer and is handed in.
- Averages and counters of a queue are kept up between resyncs with the PBX's own formula.
- A queue that was removed is noticed at the next resync: no event says it.
"""
