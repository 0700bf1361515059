"""What the card API counts. One registry an app, so that two in one process (tests, `run all`) do not mix."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# A look-up takes under a millisecond when all is well; a second is the deadline of a source.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

# From a look-up to a caller who waits for minutes until a phone rings.
_RING_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 30.0, 120.0, 600.0)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.updates = Counter("callcard_call_updates", "Call updates read", registry=self.registry)
        self.malformed = Counter(
            "callcard_call_updates_malformed",
            "Stream entries set aside as unreadable",
            registry=self.registry,
        )
        self.stored = Counter("callcard_calls_stored", "Rows of calls written", registry=self.registry)
        self.store_failures = Counter(
            "callcard_calls_store_failures", "Batches PostgreSQL did not take at once", registry=self.registry
        )
        self.cards = Counter("callcard_cards_published", "Cards published", ["state"], registry=self.registry)
        self.render_failures = Counter(
            "callcard_cards_render_failures",
            "Calls whose cards could not be rendered",
            registry=self.registry,
        )
        self.lookup_seconds = Histogram(
            "callcard_lookup_seconds",
            "Finding a caller",
            ["outcome"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.source_seconds = Histogram(
            "callcard_source_seconds",
            "Asking another system who is calling: ok, late, failed, refused (its answer), cached, or open (not asked)",
            ["source", "outcome"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.source_failures = Counter(
            "callcard_source_failures",
            "Answers another system did not give, by reason",
            ["source", "reason"],
            registry=self.registry,
        )
        self.source_breaker = Gauge(
            "callcard_source_breaker",
            "Is another system asked? 0 yes, 1 one question tries it, 2 no: it failed too often",
            ["source"],
            registry=self.registry,
        )
        self.ring_to_publish = Histogram(
            "callcard_ring_to_publish_seconds",
            "From the PBX's event to the published ringing card",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.ring_seconds = Histogram(
            "callcard_ring_seconds",
            "The way of a ring to the agent's eye: arrived_to_looked_up, arrived_to_pushed, rang_to_pushed, "
            "pushed_to_shown, rang_to_shown, arrived_to_shown",
            ["stage"],
            registry=self.registry,
            buckets=_RING_SECONDS,
        )
        self.rings = Counter("callcard_rings", "Rings whose card was pushed", registry=self.registry)
        self.rings_unseen = Counter(
            "callcard_rings_unseen",
            "Rings whose card no tab has shown within 2 s: no_tab, disconnected, token_expired, slow, over, unknown",
            ["reason"],
            registry=self.registry,
        )
        self.rings_lost = Counter(
            "callcard_rings_lost", "Rings that could not be stored and were given up", registry=self.registry
        )
        self.receipts_of_no_ring = Counter(
            "callcard_receipts_of_no_ring",
            "Receipts of tabs about cards that did not ring, as far as is known",
            registry=self.registry,
        )
        self.receipts_malformed = Counter(
            "callcard_receipts_malformed", "Receipts that could not be read or stored", registry=self.registry
        )
        self.open_calls = Gauge("callcard_open_calls", "Calls going on now", registry=self.registry)
        self.backlog = Gauge(
            "callcard_call_updates_backlog", "Stream entries not stored yet", registry=self.registry
        )
