"""A recording held against the invariants: does the tracker understand it? Pure."""

from collections.abc import Iterable, Iterator

from ami_listener.invariants import Channels, Invariant, UpdateStream, Violation
from ami_listener.replay import Replay, Timing
from ami_listener.tracker.endpoints import EndpointRules

# Whether a call has lost its channels is asked when no channel is up, at the end, and after this many hang-ups: each
# time costs the documents of all open calls.
_JUDGE_EVERY = 1000


class Check:
    """One run: iterate `violations()` to its end, then read the rest.

    events: how many there were that matter. stream: what was told of them (`calls`, and `open`: the calls that go on
    at the end, which is no error).
    """

    def __init__(self, pbx: str = "pbx", rules: EndpointRules | None = None) -> None:
        self.events = 0
        self.stream = UpdateStream()
        self._run = Replay(pbx, rules)

    @property
    def damage(self) -> list[str]:
        """A sentence for each kind of bytes that were no AMI."""
        return self._run.damage

    @property
    def unfinished(self) -> bool:
        """Do the bytes end inside a message? They do if the recording was stopped just then."""
        return self._run.unfinished

    def violations(self, data: bytes | Iterable[bytes], timing: Iterable[Timing] = ()) -> Iterator[Violation]:
        """Each thing that does not hold, when it is found. Never raises, whatever the bytes are."""
        tracker, channels = self._run.tracker, Channels()
        hangups = stumbled = 0
        told: set[Violation] = set()  # a call without a channel is so at each look; it is told once
        for message, updates in self._run.steps(data, timing):
            self.events += 1
            channels.see(message)
            for update in updates:
                yield from self.stream.take(update)
            if tracker.problems > stumbled:
                stumbled = tracker.problems
                yield Violation(Invariant.EVENT_UNDERSTOOD, None, str(tracker.last_problem))
            if message.event == "Hangup":
                hangups += 1
                if not channels.up or hangups % _JUDGE_EVERY == 0:
                    yield from self._new(channels, told)
        yield from self._new(channels, told)

    def _new(self, channels: Channels, told: set[Violation]) -> list[Violation]:
        tracker = self._run.tracker
        found = [v for v in channels.judge(tracker.open_calls(), tracker.size()) if v not in told]
        told.update(found)
        return found
