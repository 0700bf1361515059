"""Frames that are built without the library."""

import pytest
from websockets.frames import Frame, Opcode

from shared.websocket import text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70_000])
def test_a_text_frame_is_the_one_that_the_library_builds(size: int) -> None:
    text = b"x" * size
    assert text_frame(text) == Frame(Opcode.TEXT, text).serialize(mask=False)
