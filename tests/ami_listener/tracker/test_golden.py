"""Each recorded session gives the calls that really happened: traces/22/README.md says what did.

`CALLCARD_GOLDEN=write pytest tests/ami_listener/tracker/test_golden.py` rewrites the files; read the difference.
"""

import os
from pathlib import Path

import pytest

from ami_listener.message import AmiMessage
from ami_listener.replay import final_calls, replay
from tests.ami_listener.tracker.recordings import (
    NAMES,
    OLDER,
    messages,
    read,
    rules,
    story,
    text,
    track,
)

GOLDEN = Path(__file__).parent / "golden"


def test_every_recording_is_there() -> None:
    assert len(NAMES) >= 54  # 53 scenarios, one of them in two files, and what was recorded since
    golden = {str(path.relative_to(GOLDEN)).removesuffix(".txt") for path in GOLDEN.glob("**/*.txt")}
    assert golden == {*NAMES, *OLDER}


@pytest.mark.parametrize("name", NAMES + OLDER)
def test_recording(name: str) -> None:
    problems: list[str] = []
    data, timing = read(name)
    found = story(replay(data, rules=rules(), timing=timing, problems=problems))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("CALLCARD_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()
    assert problems == []


def _least_privilege(message: AmiMessage) -> bool:
    """Would an account with read=call,agent get it?"""
    return bool({"call", "agent"} & set(message.get("Privilege", "").split(",")))


@pytest.mark.parametrize("name", NAMES + OLDER)
def test_least_privilege_account_sees_the_same(name: str) -> None:
    """But for the keys of the caller, which are class dtmf."""
    everything = list(messages(name))
    seen = [(at, message) for at, message in everything if _least_privilege(message)]
    assert text(final_calls(track(seen)), digits=False) == text(final_calls(track(everything)), digits=False)
