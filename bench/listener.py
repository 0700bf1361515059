"""The listener's whole way, from the bytes of the AMI to call updates as JSON, and what one more concurrent call costs.

Beside it: panoramisk on the same bytes, with a call-back that does nothing for each of the same events. It follows no
call; a program built on it would have that still to do.
"""

import asyncio
import re
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ami_listener.connection import AmiAccount, AmiConnection
from ami_listener.message import AmiMessage
from ami_listener.protocol import FramedProtocol
from ami_listener.tracker.events import WANTED
from ami_listener.tracker.tracker import Tracker
from ami_listener.wire import AmiFramer
from bench.ami_parse import Feed, panoramisk_side
from bench.table import Row, show

_TRACES = Path(__file__).parent.parent / "tests" / "traces" / "22"
# 35 MB, read=all: seconds of work on either side.
_REPEAT = 12
_CHUNK = 4096
_TARGET = 4.0

# How many calls are open while others come and go.
_FEW, _MANY = 10, 2000
_MEASURED_CALLS = 400
_ROUNDS = 5
# Both runs do the same work; what is above one is memory further away from the processor, and noise.
_FLAT = 1.25
_TYPICAL = "answered_queue_call"

_UNIQUEID = re.compile(rb"\b(\d{10})\.(\d+)")
_CHANNEL = re.compile(rb"(PJSIP/[A-Za-z]+)(\d*)-([0-9a-f]{8})")


class _Listener:
    """Connection, framer and tracker as they run, without a socket; each update is written as JSON."""

    def __init__(self) -> None:
        self.updates = 0
        self.tracker = Tracker("bench")
        account = AmiAccount("", 0, "", "")
        connection = AmiConnection(
            "bench", account, on_event=self._on_event, on_link=lambda *_: None, wanted=WANTED
        )
        self.feed: Feed = self._protocol(connection).data_received

    @staticmethod
    def _protocol(connection: AmiConnection) -> FramedProtocol:
        protocol = FramedProtocol(AmiFramer(connection.wanted), connection.received)
        connection.protocol = protocol
        return protocol

    def _on_event(self, event: AmiMessage, at: datetime) -> None:
        for update in self.tracker.handle(event, at):
            update.to_json()
            self.updates += 1


def _another(trace: bytes, n: int) -> bytes:
    """The same happenings once more, as other calls between other phones."""
    trace = _UNIQUEID.sub(lambda m: b"%d.%s" % (int(m[1]) + n, m[2]), trace)
    return _CHANNEL.sub(
        lambda m: (
            b"%s%s-%08x" % (m[1], b"%d" % (int(m[2]) + 1000 * n) if m[2] else b"", int(m[3], 16) + 4096 * n)
        ),
        trace,
    )


def _cpu(feed: Feed, stream: bytes) -> float:
    began = time.process_time()
    for start in range(0, len(stream), _CHUNK):
        feed(stream[start : start + _CHUNK])
    return time.process_time() - began


def _beside_panoramisk() -> Row:
    once = b"".join(path.read_bytes() for path in sorted(_TRACES.glob("*.ami")))
    stream = b"".join(_another(once, n) for n in range(_REPEAT))
    packets = stream.count(b"\r\n\r\n")
    listener = _Listener()
    ours = _cpu(listener.feed, stream)
    feed, _ = panoramisk_side()
    theirs = _cpu(feed, stream)
    return Row(
        f"bytes → updates, {len(stream) / 1e6:.0f} MB with full noise, {listener.updates} updates",
        f"{packets / ours / 1000:.0f}k events/s a core",
        f"panoramisk, doing nothing: {packets / theirs / 1000:.0f}k events/s a core",
        theirs / ours,
        f"at least {_TARGET:g}×",
        theirs / ours >= _TARGET,
    )


def _per_call(open_calls: int, trace: bytes) -> Callable[[], float]:
    """A listener with so many calls open; what it returns measures the CPU of more calls, in microseconds each."""
    listener = _Listener()
    answered = trace[: trace.index(b"Event: Hangup\r\n")]
    for n in range(open_calls):
        listener.feed(_another(answered, n))
    if listener.tracker.size()["calls"] != open_calls:
        raise RuntimeError(f"{listener.tracker.size()['calls']} calls are open instead of {open_calls}")
    first = open_calls

    def measure() -> float:
        nonlocal first
        stream = b"".join(_another(trace, n) for n in range(first, first + _MEASURED_CALLS))
        first += _MEASURED_CALLS
        cost = _cpu(listener.feed, stream)
        if listener.tracker.size()["calls"] != open_calls:
            raise RuntimeError("a measured call has not ended: this is no measurement")
        return cost / _MEASURED_CALLS * 1e6

    return measure


def _one_more_call() -> Row:
    trace = (_TRACES / f"{_TYPICAL}.ami").read_bytes()
    few, many = _per_call(_FEW, trace), _per_call(_MANY, trace)
    # In turn, and the best of each: what else the machine does is nobody's cost.
    costs = [(few(), many()) for _ in range(_ROUNDS)]
    low, high = min(c for c, _ in costs), min(c for _, c in costs)
    return Row(
        f"a whole queue call, {_MANY} calls open",
        f"{high:.0f} µs",
        f"{_FEW} calls open: {low:.0f} µs",
        high / low,
        f"at most {_FLAT:g}× (flat)",
        high / low <= _FLAT,
    )


async def _run() -> list[Row]:
    return [_beside_panoramisk(), _one_more_call()]


def run() -> list[Row]:
    """Raises RuntimeError if what was measured is not what it is called."""
    return asyncio.run(_run())


if __name__ == "__main__":
    sys.exit(0 if show(run()) else 1)
