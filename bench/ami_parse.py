"""AMI parsing: panoramisk's own protocol class against ours, same bytes, same chunks, same run.

Every recorded trace with full noise (read=all) is put end to end, several times, and cut into chunks as a socket gives
them. On both sides the same event names are wanted, the tracker's: panoramisk has a call-back registered for each,
ours one handler; either only counts. Both must have delivered the same number.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from panoramisk import Manager
from panoramisk.ami_protocol import AMIProtocol

from ami_listener.connection import AmiAccount, AmiConnection
from ami_listener.message import AmiMessage
from ami_listener.protocol import FramedProtocol
from ami_listener.tracker.events import WANTED
from ami_listener.wire import AmiFramer
from bench.table import Row, show

_TRACES = Path(__file__).parent.parent / "tests" / "traces" / "22"
# 52 MB: enough for seconds of work on the slow side, so that the clock and the start-up do not matter.
_REPEAT = 18
# What one read of a socket gives: a packet or two on a quiet line, 64 kB in a burst.
_CHUNKS = (4096, 65536)
_TARGET = 6.0

Feed = Callable[[bytes], None]
Counted = Callable[[], int]


def panoramisk_side() -> tuple[Feed, Counted]:
    """panoramisk as it comes, with the tracker's events registered."""
    count = 0

    def callback(manager: Manager, event: object) -> None:
        nonlocal count
        count += 1

    manager = Manager()
    manager.loop = asyncio.get_running_loop()
    for name in sorted(WANTED):
        manager.register_event(name, callback)
    protocol = AMIProtocol()
    protocol.connection_made(None)
    protocol.factory = manager
    protocol.encoding = "utf-8"
    return protocol.data_received, lambda: count


def our_side() -> tuple[Feed, Counted]:
    """The whole way of an event from the socket to the handler, as the listener uses it."""
    count = 0

    def on_event(event: AmiMessage, at: datetime) -> None:
        nonlocal count
        count += event.event in WANTED  # FullyBooted is the connection's own

    account = AmiAccount("", 0, "", "")
    connection = AmiConnection("bench", account, on_event=on_event, on_link=lambda *_: None, wanted=WANTED)
    protocol = FramedProtocol(AmiFramer(connection.wanted), connection.received)
    connection.protocol = protocol
    return protocol.data_received, lambda: count


def _measure(side: Callable[[], tuple[Feed, Counted]], chunks: list[bytes]) -> tuple[float, int]:
    feed, counted = side()
    # CPU time: both sides are one busy thread, and what else the machine does is not theirs.
    began = time.process_time()
    for chunk in chunks:
        feed(chunk)
    return time.process_time() - began, counted()


async def _run() -> list[Row]:
    stream = b"".join(path.read_bytes() for path in sorted(_TRACES.glob("*.ami"))) * _REPEAT
    packets = stream.count(b"\r\n\r\n")
    rows = []
    for size in _CHUNKS:
        chunks = [stream[i : i + size] for i in range(0, len(stream), size)]
        ours, delivered = _measure(our_side, chunks)
        theirs, expected = _measure(panoramisk_side, chunks)
        if delivered != expected:
            raise RuntimeError(f"ours delivered {delivered} events, panoramisk {expected}: not comparable")
        rows.append(
            Row(
                what=f"AMI parsing, {len(stream) / 1e6:.0f} MB in {size >> 10} kB chunks, "
                f"{delivered} of {packets} packets wanted",
                ours=f"{packets / ours / 1000:.0f}k packets/s",
                beside=f"panoramisk {packets / theirs / 1000:.0f}k packets/s",
                ratio=theirs / ours,
                target=f"at least {_TARGET:g}×",
                good=theirs / ours >= _TARGET,
            )
        )
    return rows


def run() -> list[Row]:
    """One row a chunk size. Raises RuntimeError if the two sides did not deliver the same."""
    return asyncio.run(_run())


if __name__ == "__main__":
    sys.exit(0 if show(run()) else 1)
