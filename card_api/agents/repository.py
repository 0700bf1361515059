"""All SQL about agents."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.agents.directory import Agent
from card_api.agents.endings import Ending, Standing, farewell, whole_ms
from card_api.agents.models import agent_endpoints, agents
from shared.push_control import RIGHTS_CHANGED, SIGNED_OUT, SWITCHED_OFF


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in is checked against."""

    login: str
    password_hash: str | None
    active: bool


@dataclass(frozen=True, slots=True)
class Saved:
    """`new`: was the agent added? `ending`: whose tokens the change has ended, to be told to the gateways."""

    new: bool
    ending: Ending | None = None


_STANDING = (agents.c.login, agents.c.role, agents.c.active, agents.c.tokens_from, agents.c.rights_from)


def _now() -> datetime:
    return datetime.now(UTC)


class AgentRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime] = _now) -> None:
        self._engine = engine
        self._now = now

    async def all(self) -> list[Agent]:
        """Every agent with the endpoints, by login; also those who are not active."""
        pairs = (
            select(
                agent_endpoints.c.agent_id,
                func.json_agg(
                    aggregate_order_by(
                        func.json_build_array(agent_endpoints.c.endpoint, agent_endpoints.c.pbx),
                        agent_endpoints.c.id,
                    )
                ).label("endpoints"),
            )
            .group_by(agent_endpoints.c.agent_id)
            .subquery()
        )
        statement = (
            select(agents, pairs.c.endpoints)
            .outerjoin_from(agents, pairs, pairs.c.agent_id == agents.c.id)
            .order_by(agents.c.login)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            Agent(
                login=row.login,
                name=row.name,
                extension=row.extension,
                role=row.role,
                language=row.language,
                active=row.active,
                endpoints=tuple((endpoint, pbx) for endpoint, pbx in row.endpoints or ()),
            )
            for row in rows
        ]

    async def credentials(self, login: str) -> Credentials | None:
        statement = select(agents.c.login, agents.c.password_hash, agents.c.active).where(
            agents.c.login == login
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else Credentials(row.login, row.password_hash, row.active)

    async def save(self, agent: Agent, password_hash: str | None) -> Saved:
        """Create the agent or make it as given, endpoints included. `password_hash` None keeps the password there is.
        Raises IntegrityError if an endpoint is another agent's."""
        async with self._engine.begin() as connection:
            return await save_agent(connection, agent, password_hash, self._now())

    async def switch(self, login: str, active: bool) -> Saved | None:
        """Switch the agent on or off; None if there is no such agent."""
        values: dict[str, Any] = {"active": active, "updated_at": func.now()}
        at = whole_ms(self._now())
        if not active:
            values["tokens_from"] = at
        return await self._change(login, values, None if active else Ending(login, SWITCHED_OFF, at))

    async def sign_out(self, login: str) -> Saved | None:
        """End every token of the agent; None if there is no such agent."""
        at = whole_ms(self._now())
        return await self._change(login, {"tokens_from": at}, Ending(login, SIGNED_OUT, at))

    async def _change(self, login: str, values: dict[str, Any], ending: Ending | None) -> Saved | None:
        statement = update(agents).where(agents.c.login == login).values(values).returning(agents.c.login)
        async with self._engine.begin() as connection:
            known = await connection.scalar(statement)
        return None if known is None else Saved(False, ending)

    async def ended_since(self, moment: datetime) -> list[Standing]:
        """Agents whose tokens ended, or whose rights changed, after this moment."""
        statement = select(*_STANDING).where(
            or_(agents.c.tokens_from > moment, agents.c.rights_from > moment)
        )
        async with self._engine.connect() as connection:
            return [Standing(*row) for row in await connection.execute(statement)]


async def save_agent(
    connection: AsyncConnection, agent: Agent, password_hash: str | None, at: datetime | None = None
) -> Saved:
    """`AgentRepository.save` inside a transaction of the caller's. `at`: the moment before which tokens end if the
    change asks for it; None: they go on."""
    values: dict[str, Any] = {
        "name": agent.name,
        "extension": agent.extension,
        "role": agent.role,
        "language": agent.language,
        "active": agent.active,
    }
    if password_hash is not None:
        values["password_hash"] = password_hash
    known = (
        await connection.execute(select(*_STANDING).where(agents.c.login == agent.login).with_for_update())
    ).one_or_none()
    before = Standing(*known) if known is not None else None
    ending = None
    if at is not None and (word := farewell(before, agent.role, agent.active, password_hash is not None)):
        ending = Ending(agent.login, word, whole_ms(at))
        values["rights_from" if word is RIGHTS_CHANGED else "tokens_from"] = ending.at
    upsert = insert(agents).values(login=agent.login, **values)
    agent_id = await connection.scalar(
        upsert.on_conflict_do_update(
            index_elements=[agents.c.login], set_={**values, "updated_at": func.now()}
        ).returning(agents.c.id)
    )
    await connection.execute(delete(agent_endpoints).where(agent_endpoints.c.agent_id == agent_id))
    if agent.endpoints:
        await connection.execute(
            insert(agent_endpoints).values(
                [
                    {"agent_id": agent_id, "endpoint": endpoint, "pbx": pbx}
                    for endpoint, pbx in agent.endpoints
                ]
            )
        )
    return Saved(before is None, ending)
