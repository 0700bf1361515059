"""The card in the space of a pop-up: a pure function of the full one."""

from shared.contracts.card import Card, CompactCaller, CompactCard, Counts

# A pop-up has a line for them.
_TAGS = 3


def compact(card: Card) -> CompactCard:
    """What an agent reads while the phone rings; `counts` says how much more the full card has."""
    caller = card.caller
    return CompactCard(
        call_id=card.call_id,
        rev=card.rev,
        state=card.state,
        close_reason=card.close_reason,
        agent=card.agent,
        call=card.call,
        match=card.match,
        caller=CompactCaller(
            customer_id=caller.customer_id,
            kind=caller.kind,
            name=caller.name,
            person=caller.person,
            display_number=caller.display_number,
            category=caller.category,
            tags=caller.tags[:_TAGS],
            do_not_call=caller.do_not_call,
            black_listed=caller.black_listed,
        ),
        greeting=card.greeting,
        ticket=card.tickets[0] if card.tickets else None,
        order=card.orders[0] if card.orders else None,
        counts=Counts(
            candidates=len(card.candidates),
            history=len(card.history),
            tickets=len(card.tickets),
            orders=len(card.orders),
            notes=len(card.notes),
            callbacks=len(card.callbacks),
        ),
        expires_at=card.expires_at,
    )
