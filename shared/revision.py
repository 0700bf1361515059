"""Revisions of cards: which of two documents of a call is the newer one."""

# Enrichments a version can have: patches of one call between two events of the PBX, by sources, notes, people picked.
# The last of them may come again: an equal rev with it replaces, so that no patch is ever lost. Versions are
# milliseconds times 100; times 32 they stay below 2^53, where JavaScript's numbers end, until the year 2059.
REVS_A_VERSION = 32
LAST_ENRICHMENT = REVS_A_VERSION - 1
MAX_REV = 2**53 - 1
LAST_VERSION = MAX_REV // REVS_A_VERSION
"""Nothing outranks it."""


def revision(version: int, enrichment: int) -> int:
    """The card's `rev`. Raises ValueError for a version beyond what a browser can compare."""
    rev = version * REVS_A_VERSION + min(enrichment, LAST_ENRICHMENT)
    if not 0 <= rev <= MAX_REV:
        raise ValueError(f"version {version} is outside 0..{LAST_VERSION}")
    return rev


def parts(rev: int) -> tuple[int, int]:
    """(version, enrichment) of a rev."""
    return divmod(rev, REVS_A_VERSION)


def replaces(rev: int, known: int) -> bool:
    """Does a card with `rev` take the place of the one with `known`? The scripts of `shared.push` and the page have the
    same rule."""
    return rev > known or (rev == known and rev % REVS_A_VERSION == LAST_ENRICHMENT)
