"""An unmodified centrifuge-js in node, driven by a test."""

import asyncio
import contextlib
import fcntl
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

JS = Path(__file__).parent / "js"
# What centrifuge-js and ws are tested with.
NODE_MAJOR = 20
# What the client was told is in its line.
LONGEST_LINE = 1 << 20


def install(cache: Path) -> str:
    """The command `node`, with the packages of js/package-lock.json installed beside the script. Raises `NoNode`."""
    command, npm = shutil.which("node"), shutil.which("npm")
    version = _output([command, "--version"]) if command else ""
    if command is None or npm is None or int(version.strip("v\n").split(".")[0]) < NODE_MAJOR:
        raise NoNode(f"no node {NODE_MAJOR} or newer with npm (found {version or 'none'})")
    with (cache / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the parallel test processes installs
        installed, wanted = JS / "node_modules" / ".wanted", (JS / "package-lock.json").read_text()
        if not installed.exists() or installed.read_text() != wanted:
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts"], cwd=JS, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise NoNode(f"npm ci failed: {done.stderr[-500:]}")
            installed.write_text(wanted)
    return command


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class NoNode(Exception):
    """What an unmodified centrifuge-js needs is not here."""


class Tab:
    """The driven client: orders in, events out."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def order(self, do: str, **fields: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")

    async def event(self) -> dict[str, Any]:
        assert self._process.stdout
        async with asyncio.timeout(20):
            line = await self._process.stdout.readline()
        assert line, "the client ended"
        event: dict[str, Any] = json.loads(line)
        return event

    async def next(self, name: str) -> dict[str, Any]:
        """The next event of this name; other ones before it are dropped."""
        while (event := await self.event())["event"] != name:
            pass
        return event


@contextlib.asynccontextmanager
async def js_tab(node: str, *urls: str, script: str = "client.mjs") -> AsyncIterator[Tab]:
    """A client; `urls`: see the script."""
    process = await asyncio.create_subprocess_exec(
        *(node, str(JS / script), *urls),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    try:
        yield Tab(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
