"""A recording is what came, byte for byte."""

import asyncio
from pathlib import Path

import pytest

from ami_listener.connection import AmiAccount, LinkLost, LoginRefused
from ami_listener.record import TIMING_HEADER, RecordingExists, record, timing_path
from ami_listener.wire import AmiFramer
from tests.ami_listener.stub import BANNER, AmiStub, TestClock, until


def account(stub: AmiStub) -> AmiAccount:
    return AmiAccount("127.0.0.1", stub.port, "callcard", "hunter2")


async def test_every_byte_and_when_it_came(stub: AmiStub, tmp_path: Path) -> None:
    path, stop, clock = tmp_path / "calls.ami", asyncio.Event(), TestClock()
    recording = asyncio.create_task(record(account(stub), path, stop, clock=clock))
    session = await stub.session()
    noise = bytes(range(256)) + "Пётр".encode() + b"\r\n\r\n"
    await until(lambda: path.exists() and b"accepted\r\n\r\n" in path.read_bytes())
    clock.seconds = 1.5
    session.send(noise)
    await until(lambda: path.read_bytes().endswith(noise))
    stop.set()
    done = await recording
    data = path.read_bytes()
    assert data.startswith(BANNER)
    assert b"hunter2" not in data
    assert (done.size, done.seconds, done.stopped) == (len(data), 1.5, True)
    header, *lines = timing_path(path).read_text().splitlines()
    assert header + "\n" == TIMING_HEADER
    assert lines[0].startswith("0 ")
    assert lines[-1] == f"1500 {len(data)}"
    assert session.seen[0]["Events"] == "on"
    assert any("Response" in m for m in AmiFramer().feed(data))


async def test_ends_when_the_pbx_closes(stub: AmiStub, tmp_path: Path) -> None:
    recording = asyncio.create_task(record(account(stub), tmp_path / "a.ami", asyncio.Event()))
    (await stub.session()).close()
    done = await recording
    assert not done.stopped
    assert done.size == (tmp_path / "a.ami").stat().st_size


async def test_a_refused_login_is_a_sentence(tmp_path: Path) -> None:
    async with AmiStub(login="Error") as stub:
        with pytest.raises(LoginRefused, match=r"manager\.conf") as caught:
            await record(account(stub), tmp_path / "a.ami", asyncio.Event())
    assert "hunter2" not in str(caught.value)


async def test_nobody_there_is_a_sentence_and_leaves_no_file(tmp_path: Path) -> None:
    async with AmiStub() as stub:
        pass
    with pytest.raises(LinkLost, match="No connection"):
        await record(account(stub), tmp_path / "a.ami", asyncio.Event())
    assert not (tmp_path / "a.ami").exists()


async def test_never_overwrites(stub: AmiStub, tmp_path: Path) -> None:
    (tmp_path / "a.ami").write_bytes(b"precious")
    with pytest.raises(RecordingExists, match="exists already"):
        await record(account(stub), tmp_path / "a.ami", asyncio.Event())
    assert (tmp_path / "a.ami").read_bytes() == b"precious"
    assert stub.accepted == 0
