"""The pure core of the listener: AMI events in, call updates out.

`tracker.py` is the door; `book.py` and its layers hold the open calls and the operations on them; one module for each
family of events (`channels`, `dial`, `queues`, `bridges`, `transfers`, `parking`, `facts`) translates; `resync.py`
settles the book with what the PBX says is going on; `outcomes.py` decides how things ended; `endpoints.py` tells whose
end is whose.

What the words of a call mean where the PBX leaves it open:

- A call keeps its `call_id` (PBX and Linkedid of its first channel) whatever happens to the Linkedid later.
- Click-to-call and callbacks (Originate) are outbound: the agent's phone, called by the PBX, is the caller and the
  first leg; the customer's number is `did`; `answered_at` is when the customer answered.
- A consultation on a second line is a call of its own, internal. When it ends in a transfer, the channel of the
  consulted agent becomes a leg of the customer's call; the consultation's leg ends `transferred`, and its timeline
  names the call it `joined`. The same for the call a colleague makes to pick up or to fetch a parked customer.
- `answered` in `answered_at` means a person: a leg, not the dialplan's Answer().
- A phone that forwards by itself (302) leaves a leg that ended `transferred`.
- `abandoned` is a customer who gave up; an agent who gives up dialling leaves `no_answer`.
- After a queue's time limit the call ends `no_answer`, also if the caller then hangs up during the last message.
- `closed`: the dialplan let the caller go without trying anybody. It is `missed`, as nobody had talked to him.
- A call that ended unseen has `end_reason` unknown and `gap`, and is not called missed: nobody can know.
- A parked call is `held`, and parking is a blind transfer to the place: `answered` when a colleague fetches the caller,
  `no_answer` when the time runs out, also if then whoever parked him answers.
- A queue that an agent asks for a colleague while the customer holds is not the customer's, until he is passed on.
- What comes of a transfer to a queue is what comes of the stay there, not of the phones it rang: `no_answer` also if
  its time ran out while one rang, or after one declined. `cancelled` is a customer who hung up in it.
- Whoever is in a conference with the customer is a leg of his call, also if he dialled the room first.
- An ended call stays ended. What the PBX still says of its Linkedid, or of a ChannelId that a client uses once more,
  is another call: its `call_id` ends in `~2`.
- `talking_to` is who the customer talks to once the agent who dialled out has passed him on.
- A call is over when the customer has hung up, also if agents stay in the conference they shared.
"""
