"""Recorded sessions give the floor as it really was: traces/22/README.md says what happened.

`CALLCARD_GOLDEN=write pytest tests/ami_listener/floor/test_golden.py` rewrites the files; read the difference.
"""

import os
from pathlib import Path

import pytest

from tests.ami_listener.floor.floors import START, Reader, events, listed, new_floor
from tests.ami_listener.tracker.recordings import NAMES

GOLDEN = Path(__file__).parent / "golden"
# Each a different thing that queues, members and phones do.
STORIES = (
    "abandoned_in_queue",
    "agent_in_call_skipped",
    "answered_queue_call",
    "attended_transfer_refer",
    "hold_unhold",
    "paused_agent_skipped",
    "phone_unregister_register",
    "queue_local_members_rna",
    "queue_member_actions",
    "queue_timeout",
    "ringall_queue",
    "second_call_to_talking_agent",
    "two_calls_at_once",
)


def story(name: str) -> str:
    """What a reader sees, each time something is different, with what is new or otherwise than before."""
    floor, reader = new_floor(), Reader()
    lines: list[str] = []
    before: set[str] = set()
    stream = events(name)
    for index, (at, event) in enumerate(stream):
        floor.handle(event, at)
        if index + 1 < len(stream) and stream[index + 1][0] == at:
            continue  # the same packet train: whoever publishes takes once
        messages = floor.take(at)
        if not messages:
            continue
        now = reader.read(messages).text().splitlines()
        lines.append(f"{(at - START).total_seconds():.3f}")
        lines += [f"  {line.strip()}" for line in now if line not in before]
        there = {_subject(line) for line in now}
        lines += [f"  no more: {line.strip()}" for line in sorted(before) if _subject(line) not in there]
        before = set(now)
    assert floor.last_problem is None
    return "\n".join(lines) + "\n"


def _subject(line: str) -> str:
    """What a line is about: a phone, a queue, its member, its waiting caller."""
    words = line.split()
    return (
        words[0] if not line.startswith(" ") else " ".join([*words[:3], *words[3:4] * ("waiting" in words)])
    )


@pytest.mark.parametrize("name", STORIES)
def test_recording(name: str) -> None:
    compare(GOLDEN / f"{name}.txt", story(name))


def test_lists_of_a_running_pbx() -> None:
    floor = new_floor()
    floor.settle(listed("live_state_snapshot"), START)
    compare(GOLDEN / "live_state_snapshot.txt", Reader().read(floor.take(START)).text())


def compare(path: Path, found: str) -> None:
    if os.environ.get("CALLCARD_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_least_privilege_account_sees_the_same(name: str) -> None:
    """read=call,agent is enough."""
    assert all({"call", "agent"} & set(event["Privilege"].split(",")) for _, event in events(name))
