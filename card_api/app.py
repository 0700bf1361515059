"""The card API, wired. Nothing happens here but putting parts together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware

import migrations
from card_api.agents.repository import AgentRepository
from card_api.agents.router import agents_router
from card_api.agents.service import AgentDirectory
from card_api.api_keys.gate import KeyGate
from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.router import api_keys_router
from card_api.api_keys.service import ApiKeyService
from card_api.audit.query import AuditQuery
from card_api.audit.repository import AuditRepository
from card_api.audit.router import audit_router
from card_api.audit.service import AuditService
from card_api.auth.access import Access
from card_api.auth.endings import TokenEndings
from card_api.auth.router import auth_router
from card_api.auth.service import AuthService
from card_api.background import running
from card_api.body_limit import BodyLimit
from card_api.calls.consumer import CallConsumer
from card_api.calls.repository import CallRepository
from card_api.calls.router import calls_router
from card_api.calls.search import CallSearch
from card_api.cards.again import Again
from card_api.cards.layout import Layout
from card_api.cards.query import CardQuery
from card_api.cards.render import Site
from card_api.cards.router import cards_router
from card_api.cards.service import CardService
from card_api.centrifugo.wiring import push_backend
from card_api.customers.bulk.service import CONNECTIONS, BulkLoads
from card_api.customers.bulk_router import bulk_router
from card_api.customers.service import CustomerService
from card_api.customers.wiring import customers
from card_api.health.router import health_router
from card_api.health.service import HealthService
from card_api.idempotency.service import Idempotency
from card_api.identities.router import identities_router
from card_api.identities.service import IdentityService
from card_api.ingest.repository import RecordedCalls
from card_api.ingest.router import ingest_router
from card_api.ingest.service import IngestService
from card_api.ingest.zammad_router import zammad_router
from card_api.lookup.repository import LookupRepository
from card_api.lookup.router import lookup_router
from card_api.lookup.service import LookupService
from card_api.metrics import Metrics
from card_api.openapi import tidy_openapi
from card_api.pbx.floor import FloorService
from card_api.pbx.router import pbx_router
from card_api.pbx.service import PbxService
from card_api.receipts.keeper import RingKeeper
from card_api.receipts.query import RingQuery
from card_api.receipts.reader import ReceiptReader
from card_api.receipts.repository import RingRepository
from card_api.receipts.router import rings_router
from card_api.receipts.tabs import tabs_of, tabs_of_gateway
from card_api.scripts.choice import ScriptOf, no_script
from card_api.scripts.router import scripts_router
from card_api.scripts.service import ScriptService
from card_api.sources.build import build_sources
from card_api.sources.gather import Gatherer
from card_api.sources.repository import KeyRepository
from card_api.webhooks.book import HookBook
from card_api.webhooks.hooks import HookRepository
from card_api.webhooks.outbox import HookOutbox
from card_api.webhooks.repository import DeliveryRepository
from card_api.webhooks.router import webhooks_router
from card_api.webhooks.sender import Sender
from card_api.webhooks.service import WebhookService
from shared.bus import connect_redis
from shared.db import create_engine
from shared.errors import install_error_handlers
from shared.jwks import Tokens
from shared.settings import Settings

_TAGS = [
    {"name": "auth", "description": "Agents sign in and get a token."},
    {"name": "api-keys", "description": "Keys of other systems. Needs a key with the scope `admin`."},
    {"name": "cards", "description": "Who is calling, for the agent whose phone rings."},
    {"name": "calls", "description": "The record of calls."},
    {"name": "rings", "description": "Which cards reached the agents' screens, how fast, and why not."},
    {"name": "events in", "description": "Calls of other telephone systems. Needs an API key."},
    {"name": "audit", "description": "Who did what to whom."},
    {"name": "agents", "description": "The people at the phones."},
    {"name": "lookup", "description": "For CRM teams: who is behind a number. Needs an API key."},
    {"name": "scripts", "description": "What agents say, by line, queue, category and language."},
    {"name": "customers", "description": "For CRM teams: customers in and out. Needs an API key."},
    {"name": "webhooks", "description": "Telling other systems of calls and customers. Needs an API key."},
    {"name": "pbx", "description": "The telephone systems: links to them, their queues and phones."},
]

# What a page in another place may send.
_REQUEST_HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-API-Key",
]


def now_utc() -> datetime:
    return datetime.now(UTC)


def site_of(settings: Settings, script: ScriptOf = no_script) -> Site:
    """What rendering needs to know of the company, from the settings; `script` says what to say."""

    def country_of(pbx: str) -> str:
        known = settings.pbx.get(pbx)
        return (known.country if known else None) or settings.country

    layout = Layout(tuple(settings.card.attributes), settings.card.links)
    return Site(ZoneInfo(settings.timezone), settings.language, country_of, layout, script)


@asynccontextmanager
async def card_api(
    settings: Settings,
    *,
    database_url: str,
    redis_url: str,
    auth_secret: str,
    now: Callable[[], datetime] = now_utc,
) -> AsyncIterator[FastAPI]:
    """The REST application, with the consumer of call updates running beside it until the block is left.

    Starts when PostgreSQL or Redis is away too: it says so in the log and under /readyz, and waits for them.
    """
    metrics = Metrics()
    engine = create_engine(database_url, settings.database.pool_size)
    scripts = ScriptService(engine, settings.country, now)
    site = site_of(settings, scripts.find)
    redis = connect_redis(redis_url)
    try:
        agent_repository = AgentRepository(engine, now)
        hook_book = HookBook(engine)
        outbox = HookOutbox(hook_book)
        call_repository = CallRepository(engine, outbox, now)
        directory = AgentDirectory(agent_repository, redis)
        lookup_repository = LookupRepository(engine)
        lookup = LookupService(lookup_repository, metrics)
        keys = ApiKeyService(ApiKeyRepository(engine), now)
        audit = AuditService(AuditRepository(engine))
        gatherer = Gatherer(lookup, build_sources(settings, metrics), KeyRepository(engine))
        tokens = Tokens(settings.auth, auth_secret)
        push = push_backend(settings, redis, tokens, now)
        receipts = ReceiptReader(redis, metrics.receipts_malformed, now)
        tabs = tabs_of(push.connected) if push.connected else tabs_of_gateway(redis)
        rings = RingKeeper(RingRepository(engine), receipts, tabs, metrics, now)
        told = rings.book.pushed
        cards = CardService(push.publisher, gatherer, lambda: directory.current, site, metrics, now, told)
        again = Again(redis, cards)
        directory.on_change(cards.agents_changed)
        consumer = CallConsumer(
            redis, call_repository, cards, lambda: directory.current, site.country_of, metrics
        )

        async def follow_calls() -> None:
            # A call's end that is handled while nobody knows the agents would leave its card on their screens.
            await directory.known()
            await consumer.run()

        lifetime = timedelta(minutes=settings.auth.token_minutes)
        endings = TokenEndings(agent_repository, redis, now, lifetime)
        auth = AuthService(agent_repository, directory, endings, redis, auth_secret, lifetime, now)
        gate = KeyGate(keys, settings.api.per_second)
        access = Access(tokens.verify, directory, endings, gate, now)
        ingest = IngestService(redis, RecordedCalls(engine), settings.pbx, site.country_of, now)
        links = PbxService(redis)
        idempotency = Idempotency(engine)
        trials = Sender(auth_secret, settings.webhooks.allow_private, now)
        hooks = WebhookService(
            HookRepository(engine), DeliveryRepository(engine), trials, auth_secret, now, hook_book
        )
        query = CardQuery(cards, call_repository, gatherer, audit, lambda: directory.current, site, now)
        identities = IdentityService(
            query, gatherer, CustomerService(engine, audit, outbox, settings.country, now), again, now
        )
        # Connections of their own: a load or an export must not have those that rings and agents need.
        loads = BulkLoads(create_engine(database_url, CONNECTIONS), outbox)
        app = _application(
            settings.allowed_origins,
            # Routes are tried in this order, and CRMs ask this one for every row of a page.
            lookup_router(lookup, audit, access, settings.country, site, now),
            health_router(HealthService(engine, redis, migrations.newest(), push.checks), metrics),
            auth_router(auth, access),
            api_keys_router(keys, idempotency, access),
            cards_router(query, access),
            identities_router(identities, idempotency, access),
            agents_router(directory, access),
            calls_router(
                CallSearch(engine),
                call_repository,
                audit,
                access,
                lambda: directory.current,
                settings.country,
                site.country_of,
                now,
            ),
            rings_router(RingQuery(engine), call_repository, access),
            audit_router(AuditQuery(engine), audit, access, settings.country, now),
            ingest_router(ingest, access),
            zammad_router(ingest, access, gate, lambda: directory.current, site.country_of, now),
            scripts_router(scripts, idempotency, access),
            bulk_router(loads, audit, access, settings.country, now),
            webhooks_router(hooks, idempotency, access),
            *customers(
                engine,
                audit,
                access,
                outbox,
                idempotency,
                redis,
                again.forget_callers,
                settings.country,
                now,
            ),
            pbx_router(links, FloorService(redis, links), access),
            *push.routers,
        )
        warm_up = partial(lookup.warm_up, lookup_repository.connections)
        try:
            async with running(
                warm_up,
                directory.run,
                endings.run,
                *([tokens.ring.run] if tokens.ring is not None else []),
                scripts.run,
                follow_calls,
                audit.run,
                idempotency.run,
                keys.run,
                ingest.run,
                hook_book.run,
                again.run,
                rings.run,
                *push.runs,
            ):
                yield app
        finally:
            await push.close()
            await trials.close()
            await loads.close()
            await cards.close()
            await gatherer.close()
            await lookup_repository.close()
    finally:
        await redis.aclose()
        await engine.dispose()


def _application(allowed_origins: list[str], *routers: APIRouter) -> FastAPI:
    app = FastAPI(
        # As they are, with their whole paths: a router that is included has each of its routes made a second time, and
        # asked through two more layers at each request.
        routes=[route for router in routers for route in router.routes],
        title="Callcard",
        version="1",
        summary="Who is calling, on the agent's screen, while the phone still rings.",
        description="Errors are RFC 9457 problem documents. Agents carry a token, other systems an API key.",
        openapi_tags=_TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    install_error_handlers(app)
    tidy_openapi(app)
    app.add_middleware(BodyLimit, unlimited=("/api/v1/customers/bulk",))
    if allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=allowed_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=_REQUEST_HEADERS,
            expose_headers=["ETag", "Location", "Retry-After", "Idempotent-Replayed"],
        )
    return app
