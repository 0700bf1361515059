"""What a company knows about its callers: merging, notes, who was identified, whom not to call; scripts, key limits."""

from alembic import op

revision = "0002"
down_revision = "0001"

STEPS = (
    # A record a source and external id, for ever: merging says which records are one customer and takes nothing apart,
    # so both systems may go on upserting theirs, and a wrong merge is undone.
    """
    alter table customers
        add column merged_into uuid references customers on delete set null check (merged_into <> id),
        add column country text check (country ~ '^[A-Z]{2}$'),
        add column preferences jsonb not null default '{}',
        add column revision bigint not null default 1,
        add column said bytea
    """,
    "create index customers_merged_into_idx on customers (merged_into) where merged_into is not null",
    # The listing's order, and the search by the beginning of a name.
    "create index customers_updated_at_idx on customers (updated_at, id)",
    "create index customers_name_idx on customers (lower(name) text_pattern_ops)",
    "create index customers_category_idx on customers (category) where category is not null",
    "create index customers_tags_idx on customers using gin (tags)",
    # What is no phone number of the world (an extension, a text nobody understands) is kept as typed and never matches.
    # `source` says whose row it is: a system that says its numbers anew does not wipe what an agent has added.
    """
    alter table customer_phones
        alter column e164 drop not null,
        add column kind text not null default 'phone',
        add column extension text,
        add column remark text,
        add column source text not null default 'callcard',
        drop constraint customer_phones_customer_id_e164_key
    """,
    """
    create unique index customer_phones_number_key on customer_phones
        (customer_id, source, coalesce(e164, as_typed), coalesce(extension, ''))
    """,
    "drop index customer_phones_e164_idx",
    """
    create index customer_phones_e164_idx on customer_phones (e164) include (customer_id, purpose)
        where e164 is not null
    """,
    # By number, not by customer: a wrong number is wrong for whoever has it next.
    """
    create table do_not_call (
        e164 text primary key,
        reason text not null check (reason in ('hung_up', 'asked', 'wrong_number', 'foreign_number')),
        comment text,
        by_kind text not null,
        by text not null,
        at timestamptz not null default now()
    )
    """,
    """
    create table black_list (
        e164 text primary key,
        reason text,
        until timestamptz,
        by_kind text not null,
        by text not null,
        at timestamptz not null default now()
    )
    """,
    # Of a customer, of a call, or of both: notes about a caller nobody knows yet are there after a transfer.
    """
    create table notes (
        id uuid primary key default gen_random_uuid(),
        customer_id uuid references customers on delete cascade,
        call_id text,
        text text not null,
        author_kind text not null check (author_kind in ('agent', 'api_key', 'system')),
        author text not null,
        at timestamptz not null default now(),
        check (customer_id is not null or call_id is not null)
    )
    """,
    "create index notes_customer_id_idx on notes (customer_id, at) where customer_id is not null",
    "create index notes_call_id_idx on notes (call_id) where call_id is not null",
    # A contract two customers share, an order of a company and its clerk: a source's key names a row of one customer.
    # Otherwise whichever of them the source says last would take it from the other.
    *(
        f"""
        alter table {table}
            drop constraint {table}_source_external_id_key,
            add constraint {table}_customer_id_source_external_id_key unique (customer_id, source, external_id)
        """
        for table in ("accounts", "orders", "tickets")
    ),
    "drop index accounts_customer_id_idx, tickets_customer_id_idx",  # the new keys begin with customer_id
    # Who it was, as somebody said during the call: the customer picked, the person who speaks, the account given.
    """
    create table call_identities (
        call_id text primary key,
        customer_id uuid references customers on delete set null,
        person text,
        account text,
        by_kind text not null,
        by text not null,
        at timestamptz not null default now()
    )
    """,
    "create index call_identities_customer_id_idx on call_identities (customer_id, at) where customer_id is not null",
    # What to say: the most special of those that fit (did, queue, category each given or any).
    """
    create table scripts (
        id uuid primary key default gen_random_uuid(),
        did text,
        queue text,
        category text references categories on update cascade on delete cascade,
        language text check (language in ('ru', 'en')),
        text text not null,
        updated_at timestamptz not null default now(),
        constraint scripts_place_key unique nulls not distinct (did, queue, category, language)
    )
    """,
    """
    alter table api_keys
        add column per_second integer check (per_second > 0),
        add column expires_at timestamptz
    """,
    # The answer of a POST that was done once, written in the transaction that did it. Kept a day.
    """
    create table idempotency_keys (
        caller text not null,
        key text not null,
        request bytea not null,
        status integer not null,
        headers jsonb not null,
        body bytea not null,
        at timestamptz not null default now(),
        primary key (caller, key)
    )
    """,
    "create index idempotency_keys_at_idx on idempotency_keys (at)",
    # What the listing of calls filters by, newest first. An agent's calls are found in the array of who talked.
    "create index calls_agents_idx on calls using gin (agents)",
    "create index calls_queue_idx on calls (queue, started_at) where queue is not null",
    "create index calls_did_idx on calls (did, started_at) where did is not null",
    "create index calls_missed_idx on calls (started_at) where missed",
)


def upgrade() -> None:
    for step in STEPS:
        op.execute(step)


def downgrade() -> None:
    op.execute("drop index calls_agents_idx, calls_queue_idx, calls_did_idx, calls_missed_idx")
    op.execute("drop table idempotency_keys, scripts, call_identities, notes, black_list, do_not_call")
    op.execute("alter table api_keys drop column per_second, drop column expires_at")
    for table in ("accounts", "orders", "tickets"):
        op.execute(
            f"delete from {table} a using {table} b "  # noqa: S608 - a name of three
            "where a.source = b.source and a.external_id = b.external_id and a.id > b.id"
        )
        op.execute(
            f"alter table {table} drop constraint {table}_customer_id_source_external_id_key, "
            f"add constraint {table}_source_external_id_key unique (source, external_id)"
        )
    for table in ("accounts", "tickets"):
        op.execute(f"create index {table}_customer_id_idx on {table} (customer_id)")
    op.execute("delete from customer_phones where e164 is null")
    op.execute("drop index customer_phones_number_key")
    op.execute("drop index customer_phones_e164_idx")
    op.execute(
        "create index customer_phones_e164_idx on customer_phones (e164) include (customer_id, purpose)"
    )
    op.execute(
        "delete from customer_phones a using customer_phones b "
        "where a.customer_id = b.customer_id and a.e164 = b.e164 and a.id > b.id"
    )
    op.execute(
        "alter table customer_phones alter column e164 set not null, drop column kind, drop column extension, "
        "drop column remark, drop column source, "
        "add constraint customer_phones_customer_id_e164_key unique (customer_id, e164)"
    )
    for name in ("tags", "category", "name", "updated_at"):
        op.execute(f"drop index customers_{name}_idx")
    op.execute(
        "alter table customers drop column merged_into, drop column country, drop column preferences, "
        "drop column revision, drop column said"
    )
