"""Several gateways behind one port: as one, each with its own figures; one that dies; an end for all."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.sibling import together

SECRET = "a secret for tests that is long enough"


def page(amount: float) -> str:
    registry = CollectorRegistry()
    Gauge("tabs", "Tabs.", registry=registry).set(amount)
    Counter("pushes", "Pushes.", ["state"], registry=registry).labels("ringing").inc(amount)
    Histogram("delay", "Delay.", buckets=(1.0,), registry=registry).observe(amount)
    return generate_latest(registry).decode()


def test_figures_of_all_are_one_page_that_says_whose_each_is() -> None:
    samples = [
        s for f in text_string_to_metric_families(together({"1": page(3), "2": page(5)})) for s in f.samples
    ]
    assert {
        (s.name, s.labels["process"]): s.value for s in samples if s.name in ("tabs", "pushes_total")
    } == {
        ("tabs", "1"): 3,
        ("tabs", "2"): 5,
        ("pushes_total", "1"): 3,
        ("pushes_total", "2"): 5,
    }
    assert len([s for s in samples if s.name == "delay_bucket"]) == 4
    assert together({"1": page(3), "2": page(5)}).count("# TYPE delay histogram") == 1


class Running:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0

    async def said(self, event: str) -> dict[str, object]:
        """The next line of the log that says so."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            entry: dict[str, object] = json.loads(line)
            if entry["event"] == event:
                return entry
        raise AssertionError(f"it ended without saying {event!r}")

    async def processes(self) -> set[str]:
        """Whose figures the port shows."""
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"http://127.0.0.1:{self.port}/metrics")).text
        return {s.labels["process"] for f in text_string_to_metric_families(text) for s in f.samples}

    def children(self) -> list[int]:
        return [
            int(pid)
            for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]


@pytest.fixture
async def two(redis_url: str, tmp_path: Path) -> AsyncIterator[Running]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLCARD_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli.main", "run", "gateway", "--workers", "2"),
        env=env
        | {"CALLCARD_REDIS__URL": redis_url, "CALLCARD_AUTH__SECRET": SECRET, "CALLCARD_HTTP__PORT": "0"},
        stderr=asyncio.subprocess.PIPE,
    )
    running = Running(process)
    try:
        running.port = int(str((await running.said("starting gateways"))["port"]))
        await running.said("running")
        await running.said("running")
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="several processes share a port on Linux only")
async def test_one_that_dies_comes_back_and_all_end_together(two: Running) -> None:
    assert await two.processes() == {"1", "2"}
    before = two.children()
    os.kill(before[0], signal.SIGKILL)
    await two.said("a gateway process ended by itself and is started again")
    await two.said("running")
    assert await two.processes() == {"1", "2"}
    watched = [os.pidfd_open(pid) for pid in two.children()]
    two.process.kill()  # nobody tells them, and yet they end
    for pid in watched:
        await asyncio.wait_for(_readable(pid), 20)
        os.close(pid)


async def _readable(descriptor: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)


async def test_a_wrong_setting_is_said_once_and_ends_all(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLCARD_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli.main", "run", "gateway", "--workers", "2"),
        env=env,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.count(b"CALLCARD_REDIS__URL is missing") == 1
