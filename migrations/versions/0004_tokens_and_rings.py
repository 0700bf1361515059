"""From when on an agent's tokens are good; what became of each ring on the agent's screen."""

from alembic import op

revision = "0004"
down_revision = "0003"

STEPS = (
    # tokens_from: signed out, switched off, another password. rights_from: another role; only the push gateway asks for
    # a newer token then, because the API looks rights up in this table.
    "alter table agents add column tokens_from timestamptz, add column rights_from timestamptz",
    # No number and no name: a ring tells of an agent's screen, not of who called. `rev` is the card's that was pushed
    # first; a receipt of a tab is for the last ring that is not newer than the card it has shown.
    """
    create table rings (
        call_id text not null,
        agent text not null,
        rang timestamptz not null,
        rev bigint not null,
        arrived timestamptz not null,
        looked_up timestamptz,
        pushed timestamptz not null,
        shown timestamptz,
        opened timestamptz,
        unseen text check (unseen in ('no_tab', 'disconnected', 'token_expired', 'slow', 'over', 'unknown')),
        primary key (call_id, agent, rang)
    )
    """,
    "create index rings_rang_idx on rings (rang)",
    "create index rings_agent_idx on rings (agent, rang)",
    "create index rings_unseen_idx on rings (rang) where unseen is not null",
)


def upgrade() -> None:
    for step in STEPS:
        op.execute(step)


def downgrade() -> None:
    op.execute("drop table rings")
    op.execute("alter table agents drop column tokens_from, drop column rights_from")
