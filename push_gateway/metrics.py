"""What the gateway counts. Every process of a gateway has its own registry."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from push_gateway.codes import SLOW

# One tab is well below a millisecond, thousands some tens; seconds mean a machine without air.
_DELIVERY_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1, 5)
# Includes the way to the tab, painting, and the way back.
_SHOWN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The gateway's metrics, in `registry`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.connections = Gauge(
            "callcard_push_connections",
            "Open connections, by transport",
            ["transport"],
            registry=registry,
        )
        for transport in ("websocket", "http_stream"):
            self.connections.labels(transport)
        # A number of our own, looked at when somebody asks: a gauge's lock would be taken twice for each frame.
        self.queued_bytes = 0
        Gauge(
            "callcard_push_queued_bytes", "Bytes waiting in the clients' queues", registry=registry
        ).set_function(lambda: self.queued_bytes)
        self.bus_up = Gauge(
            "callcard_push_bus_up", "1 while the link to Redis pub/sub is up", registry=registry
        )
        self.deliveries = Counter(
            "callcard_push_deliveries", "Publications handed to clients", registry=registry
        )
        self.coalesced = Counter(
            "callcard_push_coalesced",
            "Publications a tab that was behind did not get, because a newer one of the same card replaced them",
            registry=registry,
        )
        self.closes = Counter(
            "callcard_push_closes",
            "Connections the gateway closed, by close code",
            ["code"],
            registry=registry,
        )
        self.recoveries = Counter(
            "callcard_push_recoveries",
            "Clients that came back with a position, by whether all they missed was there",
            ["result"],
            registry=registry,
        )
        # There from the beginning, as 0: an alert on what never happened yet needs the series.
        for result in ("recovered", "snapshot"):
            self.recoveries.labels(result)
        self.closes.labels(str(SLOW.code))
        self.holes = Counter(
            "callcard_push_bus_holes",
            "Holes in a channel that were heard live and read again",
            registry=registry,
        )
        self.receipts = Counter(
            "callcard_push_receipts", "Receipts of tabs, by kind", ["what"], registry=registry
        )
        self.receipts_lost = Counter(
            "callcard_push_receipts_lost", "Receipts dropped because Redis was away", registry=registry
        )
        self.delivery_seconds = Histogram(
            "callcard_push_delivery_seconds",
            "From the publish (Redis' clock) until all tabs here were given it (a tab that is behind: queued)",
            buckets=_DELIVERY_SECONDS,
            registry=registry,
        )
        self.shown_seconds = Histogram(
            "callcard_push_shown_seconds",
            "From the publish (Redis' clock) to the receipt card.shown of a tab",
            buckets=_SHOWN_SECONDS,
            registry=registry,
        )
