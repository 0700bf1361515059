"""Recordings on the command line: check, anonymize, play; clear sentences and exit codes."""

import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ami_listener.tracker.tracker import Tracker
from services.cli.main import application
from services.simulator.config import SimulatorConfig
from services.simulator.simulator import Simulator
from tests.conftest import TRACES

Inside = Callable[..., Result]
TRACE = TRACES / "cyrillic_caller_name.ami"


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Inside:
    """Runs `callcard …` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CALLCARD_")]:
        monkeypatch.delenv(name)

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(application(words), words, input=stdin)

    return run


def start(
    folder: Path, *arguments: str, limit: int = resource.RLIM_INFINITY, **settings: str
) -> "subprocess.Popen[bytes]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLCARD_")}
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=env | {"PYTHONPATH": str(Path(__file__).parents[3])} | settings,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


class TestCheck:
    def test_a_sound_recording_is_nothing_wrong(self, inside: Inside) -> None:
        done = inside("ami", "replay", TRACE, "--check")
        assert (done.exit_code, done.stdout) == (0, "")
        assert "1 calls, 0 of them open: nothing wrong." in done.stderr

    def test_calls_that_go_on_are_no_fault(self, inside: Inside) -> None:
        data = TRACE.read_bytes()
        done = inside("ami", "replay", "-", "--check", stdin=data[: data.index(b"Event: HangupRequest") + 30])
        assert (done.exit_code, done.stdout) == (0, "")
        assert "goes on at the end of the recording (answered)" in done.stderr
        assert "ends inside a message" in done.stderr

    def test_what_does_not_hold_is_a_line_each(self, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Tracker, "stamp", lambda self, at: 7)
        done = inside("ami", "replay", TRACE, "--check")
        assert done.exit_code == 1
        assert all(line.startswith("version_grows: pbx-") for line in done.stdout.splitlines())
        assert f"{len(done.stdout.splitlines())} wrong." in done.stderr

    def test_a_damaged_recording_is_not_called_sound(self, inside: Inside) -> None:
        done = inside("ami", "replay", "-", "--check", stdin=b"no header at all\r\n\r\n" + TRACE.read_bytes())
        assert done.exit_code == 1
        assert "damaged: a line of 16 characters that is no header was skipped" in done.stdout

    @pytest.mark.parametrize(
        "stream",
        [
            b"",
            b"\x00\xff" * 5000,
            b"Event: Newchannel\r\nX: " + b"a" * 4_000_000,
            b"Event: Hangup\r\n" * 1000,
        ],
    )
    def test_any_bytes_are_survived(self, inside: Inside, stream: bytes, tmp_path: Path) -> None:
        file = tmp_path / "any.ami"
        file.write_bytes(stream)
        for command in (
            ("replay", file, "--check"),
            ("replay", file),
            ("anonymize", file, tmp_path / "out.ami"),
        ):
            done = inside("ami", *command)
            assert done.exit_code in (0, 1)
            assert done.exception is None or isinstance(done.exception, SystemExit)
        assert (tmp_path / "out.ami").stat().st_size == len(stream)


class TestAnonymize:
    def test_the_calls_are_the_same_of_nobody(self, inside: Inside, tmp_path: Path) -> None:
        before, after = tmp_path / "calls.ami", tmp_path / "out.ami"
        shutil.copy(TRACE, before)
        shutil.copy(TRACE.with_suffix(".timing"), before.with_suffix(".timing"))
        done = inside("ami", "anonymize", before, after)
        assert done.exit_code == 0, done.stderr
        assert "names" in done.stderr
        assert "numbers" in done.stderr
        shared = after.read_bytes()
        assert "Иван".encode() not in shared
        assert b"1112233" not in shared
        true, shown = (json.loads(inside("ami", "replay", file).stdout) for file in (before, after))
        assert shown["caller"]["name"].startswith("Person ")
        for same in ("call_id", "state", "end_reason", "direction", "started_at", "answered_at", "ended_at"):
            assert shown[same] == true[same], same
        assert [leg["endpoint"] for leg in shown["legs"]] == [leg["endpoint"] for leg in true["legs"]]

    def test_nothing_is_overwritten(self, inside: Inside, tmp_path: Path) -> None:
        out = tmp_path / "out.ami"
        out.write_bytes(b"precious")
        done = inside("ami", "anonymize", TRACE, out)
        assert (done.exit_code, out.read_bytes()) == (1, b"precious")
        assert "exists already" in done.stderr

    def test_a_full_disk_is_a_sentence_and_leaves_nothing(self, tmp_path: Path) -> None:
        running = start(tmp_path, "ami", "anonymize", str(TRACE), "out.ami", limit=4096)
        _, said = running.communicate(timeout=50)
        assert running.returncode == 1
        assert b"Traceback" not in said
        assert said.startswith(b"callcard: ")
        assert not (tmp_path / "out.ami").exists()


class TestInto:
    @pytest.mark.parametrize(
        ("into", "said"),
        [
            ("nonsense", "give demo, here, redis://"),
            ("demo", "callcard demo"),
            ("here", "callcard run all"),
            ("redis://127.0.0.1:9/0", "Redis does not answer there"),
        ],
    )
    def test_where_nobody_is_is_a_sentence(self, inside: Inside, into: str, said: str) -> None:
        done = inside("ami", "replay", TRACE, "--into", into)
        assert done.exit_code in (1, 2)
        assert said in done.stderr

    def test_check_and_into_exclude_each_other(self, inside: Inside) -> None:
        assert inside("ami", "replay", TRACE, "--into", "demo", "--check").exit_code == 2

    def test_ctrl_c_while_nobody_comes(self, tmp_path: Path) -> None:
        running = start(tmp_path, "ami", "replay", str(TRACE), "--into", "127.0.0.1:0", "--speed", "0")
        assert running.stderr is not None
        assert b"Waiting at" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)
        assert running.returncode == 0, said
        assert b"0 events were played" in said


class TestRecord:
    def test_ctrl_c_ends_it_and_says_what_is_inside(self, tmp_path: Path) -> None:
        done, said = self._record(tmp_path, 0)
        assert done == 0, said
        assert "callcard ami anonymize calls.ami OUT" in said.replace("\n", " ")
        assert b"Authentication accepted" in (tmp_path / "calls.ami").read_bytes()

    def test_a_full_disk_is_a_sentence(self, tmp_path: Path) -> None:
        done, said = self._record(tmp_path, 40)
        assert done == 1
        assert "cannot be written: File too large" in said
        assert "Traceback" not in said

    def _record(self, folder: Path, limit: int) -> tuple[int, str]:
        async def run() -> tuple[int, str]:
            async with Simulator(SimulatorConfig()) as pbx:
                account = pbx.config.accounts[0]
                (folder / "secret").write_text(account.secret)
                host, port = pbx.address
                running = start(
                    folder,
                    *("ami", "record", "calls.ami", "--host", host, "--port", str(port)),
                    *("--username", account.username, "--secret-file", "secret"),
                    limit=limit or resource.RLIM_INFINITY,
                )
                reading = asyncio.create_task(asyncio.to_thread(running.communicate, timeout=40))
                while running.poll() is None:
                    file = folder / "calls.ami"
                    if not limit and file.exists() and b"accepted" in file.read_bytes():
                        running.send_signal(signal.SIGINT)
                        break
                    await asyncio.sleep(0.05)
                _, said = await reading
                return running.returncode, said.decode()

        return asyncio.run(run())
