"""What the gateway counts. Every process of a gateway has its own registry."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from push_gateway.codes import SLOW

# One tab is well below a millisecond, thousands some tens; seconds mean a machine without air.
_DELIVERY_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1, 5)


class Deliveries(Collector):
    """What tabs are given, and how long after it was published. Plain numbers that are looked at when somebody asks: a
    counter and a histogram of the library were an eighth of the time a card takes here."""

    def __init__(self) -> None:
        self._tabs = 0
        self._sum = 0.0
        # How often it took longer than the bucket before and not longer than this one; the last has no end.
        self._counts = [0] * (len(_DELIVERY_SECONDS) + 1)

    def count(self, tabs: int, seconds: float | None = None) -> None:
        """A publication was given to so many tabs; `seconds` after it was published, if that was just now."""
        self._tabs += tabs
        if seconds is not None:
            seconds = max(0.0, seconds)  # the clocks of two machines
            self._sum += seconds
            self._counts[bisect_left(_DELIVERY_SECONDS, seconds)] += 1

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "callcard_push_deliveries", "Publications handed to clients", value=self._tabs
        )
        ends = [*map(str, map(float, _DELIVERY_SECONDS)), "+Inf"]
        yield HistogramMetricFamily(
            "callcard_push_delivery_seconds",
            "From the publish (its publisher's clock) until all tabs here were given it (one that is behind: queued)",
            buckets=list(zip(ends, accumulate(self._counts), strict=True)),
            sum_value=self._sum,
        )


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
        self.deliveries = Deliveries()
        registry.register(self.deliveries)
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
