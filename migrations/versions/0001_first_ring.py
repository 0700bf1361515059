"""Agents, customers, calls, keys and the audit log."""

from alembic import op

revision = "0001"
down_revision = None

# Text where the words may grow (a status of somebody else's system), a check where they are ours.
TABLES = (
    """
    create table agents (
        id uuid primary key default gen_random_uuid(),
        login text not null unique check (login = lower(login)),
        name text not null,
        extension text,
        role text not null default 'agent' check (role in ('agent', 'supervisor', 'admin')),
        password_hash text,
        language text check (language in ('ru', 'en')),
        active boolean not null default true,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
    )
    """,
    """
    create table agent_endpoints (
        id bigint generated always as identity primary key,
        agent_id uuid not null references agents on delete cascade,
        endpoint text not null,
        pbx text,
        constraint agent_endpoints_endpoint_pbx_key unique nulls not distinct (endpoint, pbx)
    )
    """,
    "create index agent_endpoints_agent_id_idx on agent_endpoints (agent_id)",
    """
    create table api_keys (
        id uuid primary key default gen_random_uuid(),
        name text not null,
        prefix text not null,
        hash bytea not null unique,
        scopes text[] not null,
        created_at timestamptz not null default now(),
        last_used_at timestamptz,
        revoked_at timestamptz
    )
    """,
    """
    create table categories (
        code text primary key,
        label text not null,
        colour text,
        priority integer not null default 0
    )
    """,
    """
    create table customers (
        id uuid primary key default gen_random_uuid(),
        source text not null,
        external_id text not null,
        kind text not null default 'person' check (kind in ('person', 'company')),
        name text not null,
        greet_as text,
        category text references categories on update cascade,
        manager text,
        tags text[] not null default '{}',
        url text,
        attributes jsonb not null default '{}',
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        constraint customers_source_external_id_key unique (source, external_id)
    )
    """,
    """
    create table customer_names (
        id bigint generated always as identity primary key,
        customer_id uuid not null references customers on delete cascade,
        name text not null,
        source text not null,
        said_at timestamptz not null default now(),
        constraint customer_names_customer_id_name_source_key unique (customer_id, name, source)
    )
    """,
    """
    create table customer_people (
        id bigint generated always as identity primary key,
        customer_id uuid not null references customers on delete cascade,
        name text not null,
        role text,
        source text not null,
        constraint customer_people_customer_id_name_source_key unique (customer_id, name, source)
    )
    """,
    # One row a number and customer: the same number may belong to several customers. The unique index serves the way
    # from a customer to the numbers; the covering one is the whole of the ring path's first step.
    """
    create table customer_phones (
        id bigint generated always as identity primary key,
        customer_id uuid not null references customers on delete cascade,
        e164 text not null,
        as_typed text not null,
        purpose text not null default 'contact',
        constraint customer_phones_customer_id_e164_key unique (customer_id, e164)
    )
    """,
    "create index customer_phones_e164_idx on customer_phones (e164) include (customer_id, purpose)",
    """
    create table accounts (
        id bigint generated always as identity primary key,
        customer_id uuid not null references customers on delete cascade,
        source text not null,
        external_id text not null,
        number text not null,
        status text,
        product text,
        constraint accounts_source_external_id_key unique (source, external_id)
    )
    """,
    "create index accounts_customer_id_idx on accounts (customer_id)",
    "create index accounts_number_idx on accounts (number)",
    """
    create table orders (
        id bigint generated always as identity primary key,
        customer_id uuid not null references customers on delete cascade,
        source text not null,
        external_id text not null,
        number text not null,
        title text not null,
        status text,
        amount numeric(14, 2),
        currency text,
        ordered_at timestamptz,
        url text,
        constraint orders_source_external_id_key unique (source, external_id)
    )
    """,
    "create index orders_customer_id_idx on orders (customer_id, ordered_at)",
    """
    create table tickets (
        id bigint generated always as identity primary key,
        customer_id uuid not null references customers on delete cascade,
        source text not null,
        external_id text not null,
        number text not null,
        subject text not null,
        status text not null,
        opened_at timestamptz,
        closed_at timestamptz,
        url text,
        constraint tickets_source_external_id_key unique (source, external_id)
    )
    """,
    "create index tickets_open_idx on tickets (customer_id) where closed_at is null",
    "create index tickets_customer_id_idx on tickets (customer_id)",
    # The columns are what is searched and counted; `document` is the Call as the listener said it.
    """
    create table calls (
        call_id text primary key,
        pbx text not null,
        version bigint not null,
        direction text not null,
        state text not null,
        caller_number text,
        caller_name text,
        did text,
        customer_number text,
        queue text,
        agents text[] not null default '{}',
        started_at timestamptz not null,
        answered_at timestamptz,
        ended_at timestamptz,
        end_reason text,
        talk_seconds integer,
        missed boolean not null default false,
        document jsonb not null,
        stored_at timestamptz not null default now()
    )
    """,
    "create index calls_customer_number_idx on calls (customer_number, started_at) where customer_number is not null",
    "create index calls_started_at_idx on calls (started_at)",
    "create index calls_open_idx on calls (started_at) where state <> 'ended'",
    """
    create table audit_log (
        id bigint generated always as identity primary key,
        at timestamptz not null,
        actor_kind text not null check (actor_kind in ('agent', 'api_key', 'system')),
        actor text not null,
        action text not null,
        subject text,
        detail jsonb not null default '{}'
    )
    """,
    "create index audit_log_at_idx on audit_log (at)",
    "create index audit_log_subject_idx on audit_log (subject, at) where subject is not null",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        "drop table audit_log, calls, tickets, orders, accounts, customer_phones, customer_people, customer_names, "
        "customers, categories, api_keys, agent_endpoints, agents"
    )
