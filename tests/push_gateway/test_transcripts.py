"""Frames in, frames out: each file of `transcripts/` is the table of one command, or of one way to end."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from push_gateway import codes
from push_gateway.codes import Close, Error
from push_gateway.limits import Limits
from tests.push_gateway.transcript import Scene, Transcript, scenes, set_up

FOLDER = Path(__file__).parent / "transcripts"
SCENES = list(scenes(FOLDER))


def limits_of(scene: Scene) -> Limits:
    """What the scene sets in its first line, if that is about limits."""
    text = scene.lines[0][1]
    pairs = (word.split("=") for word in text.split()[1:]) if text.startswith("limits ") else ()
    return Limits(**{name: int(value) for name, value in pairs})


def has(actual: Any, expected: Any) -> bool:
    """Is all of `expected` in `actual`? Objects may have more."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(name in actual and has(actual[name], value) for name, value in expected.items())
    return bool(actual == expected)


@pytest.mark.parametrize(("file", "scene"), SCENES, ids=[f"{file}: {scene.name}" for file, scene in SCENES])
def test_scene(file: str, scene: Scene) -> None:
    transcript = Transcript(limits=limits_of(scene))
    said: list[Any] = []
    for mark, text in scene.lines:
        if mark in ("set", ">", "wait"):
            assert said == [], f"not expected before {mark} {text}"
        match mark:
            case "set" if text.startswith("lost "):
                said = transcript.do(transcript.session.lost(text.split()[1]))
            case "set":
                set_up(transcript, text)
            case ">":
                said = transcript.say_text(text.replace("⏎", "\n"))
            case "wait":
                said = transcript.wait(float(text))
            case "<":
                assert said, f"nothing was said; expected {text}"
                assert said.pop(0) == orjson.loads(text)
            case "<~":
                assert said, f"nothing was said; expected {text}"
                assert has(said[0], orjson.loads(text)), said[0]
                said.pop(0)
            case "!":
                close = said.pop(0)
                assert isinstance(close, Close), close
                back = "comes back" if close.reconnect else "stays away"
                assert f"{close.code} {close.reason}, {back}" == text
    assert said == []


def test_every_error_that_is_ever_answered_has_a_scene() -> None:
    errors = {value for value in vars(codes).values() if isinstance(value, Error)}
    lines = [text for _, scene in SCENES for mark, text in scene.lines if mark == "<"]
    unsaid = {
        e.message
        for e in errors
        if not any(f'"code":{e.code},"message":"{e.message}"' in line for line in lines)
    }
    assert unsaid == set()


def test_every_close_of_the_session_has_a_scene() -> None:
    closes = {value.code for value in vars(codes).values() if isinstance(value, Close)}
    shown = {int(text.split()[0]) for _, scene in SCENES for mark, text in scene.lines if mark == "!"}
    # These are the connection's and the gateway's own: test_gateway, test_client, test_stream.
    elsewhere = {3001, 3004, 3008, 3011, 3504}
    assert closes - elsewhere == shown
