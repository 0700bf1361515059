"""The desk snapshot: `data` of the connect reply. Pure."""

from datetime import datetime

import orjson

from shared.contracts.base import iso_ms
from shared.push import ChannelState


def desk_json(login: str, role: str, state: ChannelState, now: datetime) -> bytes:
    """`DeskSnapshot` in JSON, with the cards as they were published. `now`: UTC."""
    head = orjson.dumps(
        {
            "type": "desk",
            "agent": {"login": login, "role": role},
            "epoch": state.position.epoch,
            "offset": state.position.offset,
            "complete": state.complete,
            "server_time": iso_ms(now),
        }
    )
    return b'%s,"cards":[%s]}' % (head[:-1], b",".join(state.cards))
