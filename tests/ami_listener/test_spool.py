"""Ended calls on disk."""

import resource
import signal
from pathlib import Path

import pytest

from ami_listener.spool import Spool, claim_spool


def lines(spool: Spool, size: int = 10, skip: int = 0) -> list[bytes]:
    return [line for batch in spool.batches(size, skip) for line in batch]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "ended.jsonl"


def test_keeps_lines_in_order_and_for_the_next_process(path: Path) -> None:
    spool = Spool(path)
    assert spool.add(b"one")
    assert spool.add(b"two")
    again = Spool(path)
    assert again.count == 2
    assert again.size == path.stat().st_size
    assert lines(again) == [b"one", b"two"]
    assert lines(again, skip=1) == [b"two"]
    again.clear()
    assert again.count == 0
    assert not path.exists()
    assert lines(again) == []


def test_batches_are_no_larger_than_asked(path: Path) -> None:
    spool = Spool(path)
    for n in range(5):
        spool.add(str(n).encode())
    assert [len(batch) for batch in spool.batches(2)] == [2, 2, 1]


def test_is_bounded_in_number_and_bytes(path: Path) -> None:
    few = Spool(path, max_calls=2)
    assert [few.add(b"x") for _ in range(4)] == [True, True, False, False]
    assert few.refused == 2
    few.clear()
    small = Spool(path, max_bytes=10)
    assert [small.add(b"1234") for _ in range(3)] == [True, True, False]
    assert path.stat().st_size <= 10


def test_a_line_torn_by_a_crash_stays_alone(path: Path) -> None:
    Spool(path).add(b"whole")
    with path.open("ab") as file:
        file.write(b'{"torn')
    spool = Spool(path)
    spool.add(b"next")
    assert lines(spool) == [b"whole", b'{"torn', b"next"]
    assert spool.count == 3


def test_a_disk_that_takes_nothing_is_an_answer_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = Spool(tmp_path / "file" / "ended.jsonl")
    assert not spool.add(b"x")
    assert spool.refused == 1


def test_a_disk_that_fills_up_in_mid_line_leaves_whole_lines(path: Path) -> None:
    """A limit on the file's size, as the kernel enforces it, takes what still fits, like a full disk."""
    spool = Spool(path)
    assert spool.add(b"1234567")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12, before[1]))
    try:
        assert not spool.add(b"abcdefgh")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == b"1234567\n"
    assert spool.add(b"next")
    assert lines(spool) == [b"1234567", b"next"]
    assert (spool.count, spool.size) == (2, path.stat().st_size)


class TestSharedFolder:
    def test_each_process_has_a_file_of_its_own(self, tmp_path: Path) -> None:
        one, two = claim_spool(tmp_path), claim_spool(tmp_path)
        one.add(b"one")
        two.add(b"two")
        assert (lines(one), lines(two)) == ([b"one"], [b"two"])
        one.clear()
        assert lines(two) == [b"two"]

    def test_what_one_that_is_gone_left_is_taken_in(self, tmp_path: Path) -> None:
        one, two = claim_spool(tmp_path), claim_spool(tmp_path)
        one.add(b"one")
        two.add(b"two")
        two.close()
        one.close()
        again = claim_spool(tmp_path)
        assert lines(again) == [b"one", b"two"]
        again.clear()
        assert list(tmp_path.glob("*.jsonl")) == []

    def test_what_one_that_lives_has_is_left_alone(self, tmp_path: Path) -> None:
        one, two = claim_spool(tmp_path), claim_spool(tmp_path)
        two.add(b"two")
        one.close()
        again = claim_spool(tmp_path)
        assert lines(again) == []
        assert lines(two) == [b"two"]

    def test_a_folder_that_takes_nothing_is_no_reason_not_to_start(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        assert not claim_spool(tmp_path / "file").add(b"x")
