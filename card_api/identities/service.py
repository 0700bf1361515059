"""Who is calling, as the agent learns it in the call: one transaction each, and then every screen shows it."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from card_api.agents.directory import Agent
from card_api.audit.repository import AuditEntry, write_audit
from card_api.cards.again import Again
from card_api.cards.query import CardQuery, Seen
from card_api.customers.actor import Actor, actor_of
from card_api.customers.locks import lock, lock_by_key
from card_api.customers.schemas import AccountWrite, CustomerWrite, PhoneWrite
from card_api.customers.service import CustomerService
from card_api.etag import etag, if_match
from card_api.idempotency.service import Answer, Work
from card_api.identities import repository
from card_api.identities.actions import OURS
from card_api.identities.problems import IdentifiedMeanwhile, UnknownAccount
from card_api.identities.repository import Said
from card_api.identities.schemas import Identify, NewCustomer, NumberSaid, PersonSaid
from card_api.lookup.ranking import the_one
from card_api.lookup.schemas import FoundCustomer, Question
from card_api.sources.gather import Gatherer
from shared.contracts.call import Direction
from shared.contracts.card import Card, SourceStatus
from shared.errors import Conflict, Forbidden, NotFound, Unavailable, Unprocessable

# Wrap-up takes minutes. Later a call is history, and who it was is for a supervisor to correct.
WRAP_UP = timedelta(hours=1)


class IdentityService:
    """Every method answers with the card as it is then. Raises `NotFound` for a call that was not for the agent,
    `Forbidden` when it is over for too long, `Conflict` for a call between colleagues.

    `match`: If-Match, with what the agent's screen says of who was named. If something else has been said since then,
    the first wins and `IdentifiedMeanwhile` is raised, unless the same is said again; without it the last wins.
    """

    def __init__(
        self,
        query: CardQuery,
        gatherer: Gatherer,
        customers: CustomerService,
        again: Again,
        now: Callable[[], datetime],
    ) -> None:
        self._query = query
        self._gatherer = gatherer
        self._customers = customers
        self._again = again
        self._now = now

    async def identify(self, agent: Agent, call_id: str, said: Identify, match: str | None = None) -> Card:
        """It is this customer; or, with nothing said, nobody knows."""
        seen = await self._theirs(agent, call_id)
        found = await self._with_account(said.account) if said.account else seen.found.customers
        async with self._customers.transaction() as connection:
            before = await repository.said_of(connection, call_id)
            picked = await self._picked(connection, actor_of(agent), seen, said, found)
            nobody = picked is None and said.account is None
            holds = (before.customer, before.account) == (picked, said.account)
            if not holds or (before.version == 0) is not nobody:
                _expect(match, before, agent)
                if nobody:
                    await repository.forget(connection, call_id)
                else:
                    await repository.identify(connection, call_id, picked, said.account, agent.login)
                await repository.move_notes(connection, call_id, _id(seen.card), picked)
                await self._audit(connection, agent, "call.identified", call_id, picked)
        return await self._shown(agent, call_id)

    async def person(self, agent: Agent, call_id: str, said: PersonSaid, match: str | None = None) -> Card:
        """This person speaks; whom the customer's people do not have is added to them."""
        seen = await self._theirs(agent, call_id)
        async with self._customers.transaction() as connection:
            before = await repository.said_of(connection, call_id)
            if before.person != said.name:
                _expect(match, before, agent)
            customer = await self._customer(connection, actor_of(agent), seen)
            await repository.name_person(connection, call_id, customer, said.name, agent.login)
            if customer is not None and said.name != seen.card.caller.name:
                source = f"agent:{agent.login}"
                if await repository.add_person(connection, customer, said.name, said.role, source):
                    await self._customers.touched(
                        connection, actor_of(agent), customer, {"fields": ["people"]}
                    )
            await self._audit(connection, agent, "call.person", call_id, customer)
        return await self._shown(agent, call_id)

    async def note(
        self, agent: Agent, call_id: str, written: str, once: Callable[[Work], Awaitable[Answer]]
    ) -> tuple[Card, Answer]:
        """Of the call, and of the customer if one is known. `once`: does it in a transaction, if it is not done yet."""
        seen = await self._theirs(agent, call_id)

        async def work(connection: AsyncConnection) -> Answer:
            customer = await self._customer(connection, actor_of(agent), seen)
            await repository.add_note(connection, call_id, customer, written, agent.login)
            await self._audit(connection, agent, "note.added", call_id, customer)
            # The card is not kept with it: it is full of names, and an agent wants it as it is now.
            return Answer(204, b"")

        done = await once(work)
        return await self._shown(agent, call_id), done

    async def customer(
        self, agent: Agent, call_id: str, given: NewCustomer, match: str | None = None
    ) -> Card:
        """A caller nobody knew becomes a customer, with the number they call from. Again in the same call: the customer
        is changed. Raises `Conflict` if it is known who calls: identify nobody first, or change that customer."""
        seen = await self._theirs(agent, call_id)
        known = the_one(seen.found.customers)
        if known is not None and (known.source, known.external_id) != (OURS, call_id):
            raise Conflict(
                "It is known already who is calling. If it is somebody else, take that back first: POST …/identify "
                "with {}."
                if seen.card.caller.matched_by == "agent"
                else "This number belongs to a customer already. Add a person to them, or pick another customer."
            )
        phones = [PhoneWrite(number=number, purpose=given.purpose)] if (number := _number(seen)) else []
        fields = given.model_dump(exclude={"purpose"})
        write = CustomerWrite(source=OURS, external_id=call_id, phones=phones, **fields)
        async with self._customers.transaction() as connection:
            before = await repository.said_of(connection, call_id)
            head = await lock_by_key(connection, OURS, call_id)
            made, _ = await self._customers.upsert(connection, actor_of(agent), write, None)
            if (str(before.customer), head and head.revision) != (made.id, made.revision):
                _expect(match, before, agent)
            await repository.identify(connection, call_id, UUID(made.id), None, agent.login)
            await repository.move_notes(connection, call_id, _id(seen.card), UUID(made.id))
            await self._audit(connection, agent, "call.identified", call_id, UUID(made.id))
        return await self._shown(agent, call_id)

    async def number(self, agent: Agent, call_id: str, said: NumberSaid, match: str | None = None) -> Card:
        """The customer has the number they call from; the next call is found by it."""
        seen = await self._theirs(agent, call_id)
        number = _number(seen)
        if number is None:
            raise Conflict(
                "This call has no phone number that could be added: it is hidden, missing, or an extension."
            )
        async with self._customers.transaction() as connection:
            _expect(match, await repository.said_of(connection, call_id), agent)
            customer = await self._customer(connection, actor_of(agent), seen)
            if customer is None:
                raise Conflict("Nobody is identified yet: say first who it is (POST …/identify).")
            if await repository.add_number(connection, customer, number, said.purpose):
                await self._customers.touched(connection, actor_of(agent), customer, {"fields": ["phones"]})
            await self._audit(connection, agent, "call.number_added", call_id, customer)
        return await self._shown(agent, call_id)

    # --- whose call, which customer -----------------------------------------------------------------------------

    async def _theirs(self, agent: Agent, call_id: str) -> Seen:
        seen = await self._query.seen(call_id, agent)
        call = seen.call
        if call.direction is Direction.INTERNAL:
            raise Conflict("This is a call between colleagues: there is no customer to name.")
        if not agent.supervises and call.ended_at is not None and self._now() - call.ended_at > WRAP_UP:
            raise Forbidden(
                "This call has been over for more than an hour. A supervisor can still change it."
            )
        return seen

    async def _picked(
        self,
        connection: AsyncConnection,
        actor: Actor,
        seen: Seen,
        said: Identify,
        found: list[FoundCustomer],
    ) -> UUID | None:
        """Our id of whom the agent means; None for nobody, and for several who have the account."""
        if said.customer_id is not None:
            return await self._ours(connection, said.customer_id)
        if said.source is not None and said.external_id is not None:
            head = await lock_by_key(connection, said.source, said.external_id)
            if head is not None:
                return head.merged_into or head.id
            meant = [c for c in found if (c.source, c.external_id) == (said.source, said.external_id)]
            if not meant:
                raise NotFound(
                    f"No source knows the customer {said.external_id} of {said.source} for this call."
                )
            return await self._make_ours(connection, actor, meant[0], _number(seen))
        if said.account is None:
            return None
        if len(found) == 1:
            return await self._known_or_made(connection, actor, found[0], None)
        return None

    async def _with_account(self, account: str) -> list[FoundCustomer]:
        """Everybody who has this contract, by all sources. Raises `UnknownAccount`."""
        gathered = await self._gatherer.all(Question(None, account))
        if gathered.found.customers:
            return gathered.found.customers
        if gathered.own is SourceStatus.FAILED:
            raise Unavailable("Contracts cannot be looked up now: PostgreSQL is away.", {"Retry-After": "2"})
        raise UnknownAccount(account)

    async def _customer(self, connection: AsyncConnection, actor: Actor, seen: Seen) -> UUID | None:
        """The customer on the card, as one of ours: whom only another system knows is made so. None: nobody, or nobody
        knows which of several."""
        known = the_one(seen.found.customers)
        if known is None or (seen.card.caller.source, seen.card.caller.external_id) != _key(known):
            return None
        return await self._known_or_made(connection, actor, known, _number(seen))

    async def _known_or_made(
        self, connection: AsyncConnection, actor: Actor, known: FoundCustomer, number: str | None
    ) -> UUID:
        if known.id is not None:
            return await self._ours(connection, UUID(known.id))
        head = await lock_by_key(connection, known.source, known.external_id)
        if head is not None:
            return head.merged_into or head.id
        return await self._make_ours(connection, actor, known, number)

    async def _ours(self, connection: AsyncConnection, id_: UUID) -> UUID:
        head = (await lock(connection, [id_])).get(id_)
        if head is None:
            raise NotFound(f"No customer {id_} is known.")
        return head.merged_into or head.id

    async def _make_ours(
        self, connection: AsyncConnection, actor: Actor, found: FoundCustomer, number: str | None
    ) -> UUID:
        """A record of ours under the other system's own key: who loads that system later meets it again. Orders and
        tickets stay there, where they are kept up to date."""
        try:
            write = CustomerWrite.model_validate(_as_written(found, number))
        except ValidationError as error:
            fields = ", ".join(sorted({str(e["loc"][0]) for e in error.errors(include_input=False)}))
            raise Unprocessable(
                f"What {found.source} says of this customer cannot be kept: see {fields}."
            ) from None
        return UUID((await self._customers.create(connection, actor, write)).id)

    # --- telling ------------------------------------------------------------------------------------------------

    async def _audit(
        self, connection: AsyncConnection, agent: Agent, action: str, call_id: str, customer: UUID | None
    ) -> None:
        subject = str(customer) if customer else None
        entry = AuditEntry(self._now(), "agent", agent.login, action, subject, {"call_id": call_id})
        await write_audit(connection, [entry])

    async def _shown(self, agent: Agent, call_id: str) -> Card:
        await self._again.tell(call_id)
        return (await self._query.seen(call_id, agent)).card


def _expect(match: str | None, now: Said, agent: Agent) -> None:
    if match is not None and not if_match(match, etag(now.version)):
        raise IdentifiedMeanwhile(now, agent.login)


def _as_written(found: FoundCustomer, number: str | None) -> dict[str, Any]:
    return {
        "source": found.source,
        "external_id": found.external_id,
        "kind": found.kind,
        "name": found.name,
        "greet_as": found.greet_as,
        "category": found.category.code if found.category else None,
        "manager": found.manager,
        "url": found.url,
        "tags": found.tags,
        "phones": [number] if number else [],
        "accounts": [
            AccountWrite(number=a.number, status=a.status, product=a.product).model_dump()
            for a in found.accounts
            if a.source == found.source
        ],
    }


def _key(found: FoundCustomer) -> tuple[str, str]:
    return found.source, found.external_id


def _id(card: Card) -> UUID | None:
    return UUID(card.caller.customer_id) if card.caller.customer_id else None


def _number(seen: Seen) -> str | None:
    """The caller's number, if it is one that customers are found by."""
    number = seen.card.call.number
    return number if number is not None and number.startswith("+") else None
