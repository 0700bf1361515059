"""The way back of a process."""

from threading import Barrier

import pytest

from services.runtime import together


def test_servers_end_side_by_side() -> None:
    # Whoever came alone would wait for the other in vain.
    both = Barrier(2, timeout=10)
    ended: list[int] = []
    together([lambda: ended.append(both.wait()), lambda: ended.append(both.wait())])
    assert sorted(ended) == [0, 1]
    together([])


def test_one_that_fails_does_not_keep_the_other() -> None:
    ended: list[str] = []

    def fails() -> None:
        raise OSError("no such process")

    with pytest.raises(OSError, match="no such process"):
        together([fails, lambda: ended.append("other")])
    assert ended == ["other"]
