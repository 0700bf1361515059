"""Starting, watching and ending a child server."""

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

# How long a child may take to end after it was asked, before it is killed. PostgreSQL's fast shutdown and Valkey's
# save are done in well under a second; Ctrl-C promises five for everything.
STOP_SECONDS = 3.0
_PR_SET_PDEATHSIG = 1


class EmbeddedError(Exception):
    """An embedded server cannot be had; the text says why and what to do."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def unprivileged_user() -> pwd.struct_passwd | None:
    """The user servers run as when we are root (they refuse root, rightly); None when we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "There is no user 'nobody' to run PostgreSQL as. Run Callcard as a normal user."
        ) from None


def reachable_by_others(path: Path) -> bool:
    """May another user pass through every folder above `path`? (A 0700 home says no.)"""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents if parent.exists())


class Child:
    """A child process that ends with us, whatever ends us."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        user: pwd.struct_passwd | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = _outliving_its_starter(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**os.environ, **(env or {})},
                # Ctrl-C in the terminal is for us; we end the children in order.
                start_new_session=True,
                preexec_fn=_in_child(user),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        """Return when `ready()` says so. Raises `EmbeddedError` with the end of the log if it ends or never does."""
        end = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise EmbeddedError(
                    f"{what} ended at once. Its log, {self.log}, closes with:\n{self.log_tail()}"
                )
            if time.monotonic() > end:
                self.stop()
                raise EmbeddedError(f"{what} did not answer within {seconds:.0f} s. Its log is {self.log}.")
            time.sleep(0.02)

    def log_tail(self, lines: int = 8) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, wait, kill it if it does not."""
        if not self.running:
            return
        self._process.send_signal(sig)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it as a crash would (tests of recovery use this)."""
        self._process.kill()
        self._process.wait()


def _outliving_its_starter(*args: Any, **more: Any) -> subprocess.Popen[bytes]:
    """Popen in a thread that lives as long as the child: Linux sends PDEATHSIG when the *thread* that made the child
    ends, and whoever starts a server may do so in a thread of a pool."""
    made: Future[subprocess.Popen[bytes]] = Future()

    def run() -> None:
        try:
            process = subprocess.Popen(*args, **more)  # noqa: S603 - our own binaries, no shell
        except BaseException as error:
            made.set_exception(error)
            return
        made.set_result(process)
        process.wait()

    threading.Thread(target=run, name="embedded-child", daemon=True).start()
    return made.result()


def _in_child(user: pwd.struct_passwd | None) -> Callable[[], None]:
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        if libc is not None:
            # The kernel ends the child if we are killed -9. Set after setuid, which clears it. SIGINT is a clean and
            # fast shutdown to PostgreSQL (SIGTERM would wait for its clients) and to Valkey.
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
            if os.getppid() != parent:
                os._exit(1)
        os.umask(0o077)

    return prepare
