"""The command as people meet it: results on stdout, sentences on stderr, exit codes."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.cli.main import application
from services.simulator.config import SimulatorConfig
from services.simulator.simulator import Simulator
from tests.conftest import TRACES

Command = Callable[..., subprocess.CompletedProcess[bytes]]
Inside = Callable[..., Result]


@pytest.fixture
def callcard(tmp_path: Path) -> Command:
    """Runs `callcard …` in a folder of its own, with no settings but those given."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("CALLCARD_")}
        return subprocess.run(
            [sys.executable, "-m", "services.cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=tmp_path,
            env=env | settings,
            timeout=50,
            check=False,
        )

    return run


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Inside:
    """The same in this process: a second of imports less each."""

    def run(*arguments: str, stdin: bytes = b"", **settings: str) -> Result:
        for name in [name for name in os.environ if name.startswith("CALLCARD_")]:
            monkeypatch.delenv(name)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(application(arguments), arguments, input=stdin)

    return run


def calls(said: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in said.splitlines()]


class TestReplay:
    def test_calls_are_the_last_state_of_each(self, callcard: Command) -> None:
        done = callcard("ami", "replay", str(TRACES / "ringall_queue.ami"), "--format", "calls")
        assert done.returncode == 0, done.stderr
        [call] = calls(done.stdout.decode())
        assert (call["direction"], call["end_reason"], call["missed"]) == ("inbound", "completed", False)
        assert done.stderr == b""

    def test_updates_grow_in_version_and_end_with_the_same_call(self, inside: Inside) -> None:
        trace = str(TRACES / "direct_did.ami")
        updates = calls(inside("ami", "replay", trace, "--format", "updates").stdout)
        versions = [update["version"] for update in updates]
        assert versions == sorted(set(versions), key=int)  # type: ignore[arg-type]
        assert [updates[-1]["call"]] == calls(inside("ami", "replay", trace).stdout)

    @pytest.mark.parametrize(
        "stream", [b"", b"\x00\xff" * 5000, b"Event: Newchannel\r\n" * 1000, "Привет".encode()]
    )
    def test_any_bytes_are_read_and_the_exit_is_0(self, inside: Inside, stream: bytes) -> None:
        done = inside("ami", "replay", "-", stdin=stream)
        assert done.exit_code == 0
        assert done.stdout == ""
        assert "Traceback" not in done.stderr

    def test_a_missing_file_is_a_sentence(self, inside: Inside) -> None:
        done = inside("ami", "replay", "nowhere.ami")
        assert done.exit_code == 2
        assert done.stderr == "callcard: nowhere.ami cannot be read: No such file or directory.\n"


class TestRun:
    def test_what_is_missing_is_said_all_at_once(self, callcard: Command) -> None:
        done = callcard("run", "listener", "api")
        assert done.returncode == 2
        said = done.stderr.decode()
        for name in (
            "CALLCARD_PBX__MAIN__HOST",
            "CALLCARD_DATABASE__URL",
            "CALLCARD_REDIS__URL",
            "CALLCARD_AUTH__SECRET",
        ):
            assert name in said
        assert "Traceback" not in said

    def test_an_unknown_target_names_those_there_are(self, inside: Inside) -> None:
        done = inside("run", "everything")
        assert done.exit_code == 2
        assert "listener" in done.stderr

    def test_help_has_examples(self, inside: Inside) -> None:
        for words in (["run"], ["demo"], ["agent", "add"], ["ami", "replay"], ["ami", "doctor"]):
            assert "Examples" in inside(*words, "--help").stdout, words


class TestAgentsAndKeys:
    def test_an_agent_is_added_listed_and_changed(self, inside: Inside, database_url: str) -> None:
        settings = {"CALLCARD_DATABASE__URL": database_url}
        added = inside("agent", "add", "101", "--name", "Анна Иванова", "--endpoint", "PJSIP/101", **settings)
        assert added.exit_code == 0, added.stderr
        assert "Agent 101 (Анна Иванова) added.\nPassword: " in added.stdout
        changed = inside("agent", "add", "101", "--name", "Anna", "--keep-password", **settings)
        assert changed.stdout == "Agent 101 (Anna) changed.\n"
        assert "Anna" in inside("agent", "list", **settings).stdout

    def test_an_agent_is_switched_off_and_on_and_signed_out(
        self, inside: Inside, database_url: str, redis_url: str
    ) -> None:
        settings = {"CALLCARD_DATABASE__URL": database_url, "CALLCARD_REDIS__URL": redis_url}
        inside("agent", "add", "101", "--name", "Anna", **settings)
        off = inside("agent", "off", "101", **settings)
        assert (off.exit_code, off.stdout, off.stderr) == (0, "Agent 101 is switched off.\n", "")
        assert " no " in inside("agent", "list", **settings).stdout
        assert inside("agent", "on", "101", **settings).stdout == "Agent 101 is switched on.\n"
        without_redis = {"CALLCARD_DATABASE__URL": database_url}
        done = inside("agent", "sign-out", "101", **without_redis)
        assert done.stdout == "Agent 101 is signed out everywhere.\n"
        assert "open tabs stay for now" in " ".join(done.stderr.split())
        nobody = inside("agent", "off", "102", **settings)
        assert (nobody.exit_code, nobody.stderr) == (
            2,
            "callcard: There is no agent '102'. callcard agent list shows them.\n",
        )

    def test_what_cannot_be_is_a_sentence(self, inside: Inside, database_url: str) -> None:
        done = inside("agent", "add", "Анна", "--name", "Анна", CALLCARD_DATABASE__URL=database_url)
        assert done.exit_code == 2
        assert "cannot be used" in done.stderr

    def test_a_key_is_made_once_and_revoked(self, inside: Inside, database_url: str) -> None:
        settings = {"CALLCARD_DATABASE__URL": database_url}
        key = inside("apikey", "create", "crm", "--scope", "lookup", **settings).stdout.strip()
        assert key.startswith("cck_")
        assert key not in inside("apikey", "list", **settings).stdout
        assert inside("apikey", "revoke", key[:10], **settings).stdout == "Revoked.\n"
        assert inside("apikey", "revoke", key[:10], **settings).exit_code == 2

    def test_a_key_is_rotated(self, inside: Inside, database_url: str) -> None:
        settings = {"CALLCARD_DATABASE__URL": database_url}
        scopes = ("--scope", "lookup", "--scope", "calls:read")
        old = inside("apikey", "create", "crm", *scopes, "--per-second", "7", **settings).stdout.strip()
        rotated = inside("apikey", "rotate", old[:10] + "…", "--keep", "7d", **settings)
        new = rotated.stdout.strip()
        assert new.startswith("cck_")
        assert "The old key works until" in rotated.stderr
        listed = inside("apikey", "list", **settings).stdout
        for shown in (old[:10], new[:10], "lookup", "calls:read", "valid", "7"):
            assert shown in listed
        for wrong in (
            ("rotate", new[:10], "--keep", "soon"),
            ("rotate", "cck_nobody"),
            ("create", "x", "--scope", "lookup", "--expires", "tomorrow"),
            ("create", "x", "--scope", "lookup", "--expires", "2020-01-01"),
        ):
            done = inside("apikey", *wrong, **settings)
            assert (done.exit_code, done.stderr.startswith("callcard: ")) == (2, True), done.stderr

    def test_a_database_that_is_away_is_a_sentence(self, inside: Inside) -> None:
        done = inside("db", "upgrade", CALLCARD_DATABASE__URL="postgresql://nobody@127.0.0.1:9/none")
        assert done.exit_code == 1
        assert done.stderr.startswith("callcard: The database cannot be used:")
        assert "Traceback" not in done.stderr


async def test_record_and_doctor_against_a_pbx(tmp_path: Path) -> None:
    async with Simulator(SimulatorConfig()) as pbx:
        host, port = pbx.address
        env = {n: v for n, v in os.environ.items() if not n.startswith("CALLCARD_")} | {
            "CALLCARD_PBX__MAIN__HOST": host,
            "CALLCARD_PBX__MAIN__PORT": str(port),
            "CALLCARD_PBX__MAIN__SECRET": "callcard-test",
        }

        async def run(*arguments: str) -> tuple[int, str]:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.cli.main", *arguments, cwd=tmp_path, env=env,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            said, _ = await process.communicate()
            return process.returncode or 0, said.decode()

        code, said = await run("ami", "doctor", "--seconds", "0.2")
        assert code == 0, said
        assert "Logged in" in said
        recording = asyncio.create_task(run("ami", "record", "calls.ami", "--seconds", "3"))
        while not (tmp_path / "calls.ami").exists():  # noqa: ASYNC110 - another process's file has no event
            await asyncio.sleep(0.02)
        await pbx.watched()  # the file is there before it hears anything
        call = await pbx.place("answered_queue_call", pace="manual")
        await call.proceed()
        await call.hang_up()
        code, said = await recording
        assert code == 0, said
        code, said = await run("ami", "replay", "calls.ami")
        assert json.loads(said.splitlines()[0])["call_id"] == f"pbx-{call.uniqueid}"

        env["CALLCARD_PBX__MAIN__SECRET"] = "wrong"
        code, said = await run("ami", "doctor", "--seconds", "0")
        assert code == 1
        assert "manager.conf" in said
        assert "wrong" not in said
