"""All SQL about agents."""

from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from card_api.agents.directory import Agent
from card_api.agents.models import agent_endpoints, agents


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in is checked against."""

    login: str
    password_hash: str | None
    active: bool


class AgentRepository:
    """Every method raises one of `DATABASE_ERRORS` when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

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

    async def save(self, agent: Agent, password_hash: str | None) -> bool:
        """Create the agent or make it as given, endpoints included; True if it is new. `password_hash` None keeps
        the password there is. Raises IntegrityError if an endpoint is another agent's."""
        async with self._engine.begin() as connection:
            return await save_agent(connection, agent, password_hash)


async def save_agent(connection: AsyncConnection, agent: Agent, password_hash: str | None) -> bool:
    """`AgentRepository.save` inside a transaction of the caller's."""
    values = {
        "name": agent.name,
        "extension": agent.extension,
        "role": agent.role,
        "language": agent.language,
        "active": agent.active,
    }
    if password_hash is not None:
        values["password_hash"] = password_hash
    known = await connection.scalar(
        select(agents.c.id).where(agents.c.login == agent.login).with_for_update()
    )
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
    return known is None
