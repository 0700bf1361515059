"""What the listener tells Prometheus, read from its parts at each scrape: counting costs the hot path nothing."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ami_listener.follower import PbxFollower
from ami_listener.publisher import Publisher
from shared.contracts.call import PbxLink


class ListenerMetrics(Collector):
    """Register it with a CollectorRegistry of its own."""

    def __init__(self, followers: Sequence[PbxFollower], publisher: Publisher) -> None:
        self._followers = followers
        self._publisher = publisher

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("callcard_pbx_up", "1 while the PBX is connected", labels=["pbx"])
        speaker = GaugeMetricFamily(
            "callcard_pbx_speaker", "1 while this listener speaks for the PBX, 0 on standby", labels=["pbx"]
        )
        taken = CounterMetricFamily(
            "callcard_pbx_takeovers", "Times this listener began to speak for the PBX", labels=["pbx"]
        )
        calls = GaugeMetricFamily("callcard_open_calls", "Calls that go on", labels=["pbx"])
        events = CounterMetricFamily("callcard_ami_events", "Events the tracker was given", labels=["pbx"])
        bad = CounterMetricFamily(
            "callcard_ami_events_skipped", "Events that could not be handled", labels=["pbx"]
        )
        bytes_ = CounterMetricFamily(
            "callcard_ami_problems", "Pieces of the AMI stream that could not be understood", labels=["pbx"]
        )
        waiting = GaugeMetricFamily("callcard_queue_waiting", "Callers who wait in queues", labels=["pbx"])
        for follower in self._followers:
            label = [follower.status.pbx]
            up.add_metric(label, float(follower.status.link is PbxLink.UP))
            speaker.add_metric(label, float(self._publisher.speaks(follower.status.pbx)))
            taken.add_metric(label, follower.taken_over)
            calls.add_metric(label, len(follower.tracker.open_calls()))
            waiting.add_metric(label, follower.floor.size()["waiting"])
            events.add_metric(label, follower.events)
            bad.add_metric(label, follower.connection.events_failed + follower.problems)
            bytes_.add_metric(label, follower.connection.problems_seen)
        yield from (up, speaker, taken, calls, waiting, events, bad, bytes_)
        publisher = self._publisher
        yield CounterMetricFamily("callcard_updates_sent", "Call updates Redis took", value=publisher.sent)
        yield CounterMetricFamily("callcard_updates_lost", "Ended calls that were lost", value=publisher.lost)
        yield GaugeMetricFamily(
            "callcard_updates_waiting", "Calls Redis has not got yet", value=publisher.waiting
        )
        yield GaugeMetricFamily(
            "callcard_spooled_calls", "Ended calls waiting on disk", value=publisher.spooled
        )
