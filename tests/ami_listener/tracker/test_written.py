"""Calls that nobody has recorded yet: the story and what comes of it are in one file each, in traces/written.

`CALLCARD_GOLDEN=write pytest tests/ami_listener/tracker/test_written.py` rewrites the calls; read the difference.
"""

import os

import pytest

from ami_listener.tracker.tracker import Tracker
from tests.ami_listener.tracker.recordings import rules, story, track
from tests.ami_listener.tracker.written import DIVIDER, FOLDER, NAMES, events, parts


@pytest.mark.parametrize("name", NAMES)
def test_story(name: str) -> None:
    tracker = Tracker("pbx", rules())
    found = story(track(events(name), tracker))
    before, calls = parts(name)
    if os.environ.get("CALLCARD_GOLDEN") == "write":
        (FOLDER / f"{name}.txt").write_text(f"{before}{DIVIDER}{found}")
    assert found == calls
    assert not any(tracker.size().values())
