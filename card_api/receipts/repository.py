"""All SQL that writes rings. Each statement is one round trip for a batch and may be repeated: moments only get
earlier, and a reason is given once."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Interval, Text, bindparam
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.expression import text

from card_api.jsonb import jsonb
from card_api.receipts.ring import IN_TIME, Moments, Ring, Unseen
from shared.contracts.push import Receipt

_ROWS = bindparam("rows", type_=Text)
_LATE = bindparam("late", IN_TIME, type_=Interval)
_MOMENT = TIMESTAMP(timezone=True)

# Another process may have pushed the same ring, or this one before its start: the row that is there stays.
_ADD = text(
    """
    insert into rings as known (call_id, agent, rang, rev, arrived, looked_up, pushed, shown, opened)
    select r.call_id, r.agent, r.rang, r.rev, r.arrived, r.looked_up, r.pushed, r.shown, r.opened
    from jsonb_to_recordset(cast(:rows as jsonb)) as r(
        call_id text, agent text, rang timestamptz, rev bigint, arrived timestamptz, looked_up timestamptz,
        pushed timestamptz, shown timestamptz, opened timestamptz)
    on conflict (call_id, agent, rang) do update set
        looked_up = coalesce(known.looked_up, excluded.looked_up),
        shown = least(known.shown, excluded.shown), opened = least(known.opened, excluded.opened)
    returning arrived, looked_up, rang, pushed, shown, xmax = 0 as added
    """
).bindparams(_ROWS)

# A receipt is for the last ring that is not newer than the card it tells of. One that comes late through the stream may
# tell of a card that was shown in time: then no reason is true.
_SAY = text(
    """
    with said as (
        select r.* from jsonb_to_recordset(cast(:rows as jsonb)) as r(
            n integer, call_id text, agent text, rev bigint, shown timestamptz, opened timestamptz)),
    found as (
        select distinct on (said.n) said.n, g.call_id, g.agent, g.rang, said.shown, said.opened
        from said join rings g on g.call_id = said.call_id and g.agent = said.agent and g.rev <= said.rev
        order by said.n, g.rang desc),
    first as (
        select call_id, agent, rang, min(shown) as shown, min(opened) as opened
        from found group by call_id, agent, rang),
    put as (
        update rings g set shown = least(g.shown, first.shown), opened = least(g.opened, first.opened),
            unseen = case when first.shown - g.pushed <= :late then null else g.unseen end
        from first, rings before
        where g.call_id = first.call_id and g.agent = first.agent and g.rang = first.rang
            and before.call_id = g.call_id and before.agent = g.agent and before.rang = g.rang
            and (g.shown is null or first.shown < g.shown or g.opened is null and first.opened is not null
                or first.opened < g.opened)
        returning g.arrived, g.looked_up, g.rang, g.pushed, g.shown, before.shown is null as shown_now)
    select cast(null as integer) as n, put.* from put
    union all select found.n, null, null, null, null, null, null from found
    """
).bindparams(_ROWS, _LATE)

_JUDGE = text(
    """
    update rings g set unseen = r.unseen
    from jsonb_to_recordset(cast(:rows as jsonb)) as r(
        call_id text, agent text, rang timestamptz, unseen text)
    where g.call_id = r.call_id and g.agent = r.agent and g.rang = r.rang
        and g.unseen is null and (g.shown is null or g.shown - g.pushed > :late)
    returning g.unseen
    """
).bindparams(_ROWS, _LATE)

_SETTLE = text(
    """
    update rings set unseen = :unknown
    where rang >= :since and rang < :until and shown is null and unseen is null returning 1
    """
).bindparams(
    bindparam("unknown", Unseen.UNKNOWN.value, type_=Text),
    bindparam("since", type_=_MOMENT),
    bindparam("until", type_=_MOMENT),
)

_FORGET = text(
    """
    delete from rings where (call_id, agent, rang) in (
        select call_id, agent, rang from rings where rang < :before order by rang limit :most)
    """
).bindparams(bindparam("before", type_=_MOMENT))


class RingRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def add(self, rings: Sequence[Ring]) -> list[Moments]:
        """Store rings; those that were not there yet."""
        rows = [
            {
                "call_id": ring.call_id,
                "agent": ring.agent,
                "rang": ring.rang,
                "rev": ring.rev,
                "arrived": ring.arrived,
                "looked_up": ring.looked_up,
                "pushed": ring.pushed,
                "shown": ring.shown,
                "opened": ring.opened,
            }
            # A statement touches a row once.
            for ring in {(ring.call_id, ring.agent, ring.rang): ring for ring in rings}.values()
        ]
        async with self._engine.connect() as connection:
            stored = await connection.execute(_ADD, {"rows": jsonb(rows)})
            return [
                Moments(row.arrived, row.looked_up, row.rang, row.pushed, row.shown)
                for row in stored
                if row.added
            ]

    async def say(self, receipts: Mapping[bytes, Receipt]) -> tuple[set[bytes], list[Moments]]:
        """Write what tabs say of rings that are stored. Returns the ids of the receipts that found theirs, and the
        rings that are shown by it for the first time."""
        ids = list(receipts)
        rows = [
            {
                "n": n,
                "call_id": receipt.call_id,
                "agent": receipt.agent,
                "rev": receipt.rev,
                "shown": receipt.received_at,
                "opened": receipt.received_at if receipt.what == "card.opened" else None,
            }
            for n, receipt in enumerate(receipts.values())
        ]
        async with self._engine.connect() as connection:
            said = (await connection.execute(_SAY, {"rows": jsonb(rows)})).all()
        shown = [
            Moments(row.arrived, row.looked_up, row.rang, row.pushed, row.shown)
            for row in said
            if row.shown_now
        ]
        return {ids[row.n] for row in said if row.n is not None}, shown

    async def judge(self, rings: Sequence[Ring]) -> list[Unseen]:
        """Write why these were not seen in time, where that holds in the table; the reasons that were written."""
        rows = [
            {"call_id": ring.call_id, "agent": ring.agent, "rang": ring.rang, "unseen": ring.unseen}
            for ring in rings
        ]
        async with self._engine.connect() as connection:
            return [
                Unseen(reason)
                for reason in (await connection.execute(_JUDGE, {"rows": jsonb(rows)})).scalars()
            ]

    async def settle(self, since: datetime, until: datetime) -> int:
        """Rings of that time that a process left without a reason, because it was killed: it is not known any more."""
        async with self._engine.connect() as connection:
            return len((await connection.execute(_SETTLE, {"since": since, "until": until})).all())

    async def forget(self, before: datetime, most: int) -> int:
        """Delete at most so many rings that are older; how many."""
        async with self._engine.connect() as connection:
            return (await connection.execute(_FORGET, {"before": before, "most": most})).rowcount
