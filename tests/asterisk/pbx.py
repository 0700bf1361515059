"""A real Asterisk of a test run: started on free ports, ended by its pid."""

import os
import random
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from shared.settings import PbxSettings

HERE = Path(__file__).parent
# Below the range the kernel gives out by itself (32768 and up), so nothing takes a port between looking and starting.
_PORTS = range(18000, 30000, 50)
# Of the free port's block: the scripts' defaults, nearer to each other.
_TRUNK, _AMI, _LOAD, _RTP = 10, 20, 30, 1000
_START_SECONDS = 60


class Flavour(StrEnum):
    """Which Asterisk, and which channel driver the phones and the trunk are on."""

    V22 = "22"
    V16 = "16"
    V16_CHAN_SIP = "16-chan-sip"  # gone in Asterisk 21

    @property
    def tech(self) -> str:
        """What channels are called: `PJSIP` of PJSIP/agent101."""
        return "SIP" if self is Flavour.V16_CHAN_SIP else "PJSIP"

    @property
    def root(self) -> Path:
        """Where `ensure` installs this version."""
        if self is Flavour.V22:
            return Path(os.environ.get("AST_ROOT", "/opt/ast22"))
        return Path(os.environ.get("AST16_ROOT", "/opt/ast16"))


@dataclass(frozen=True, slots=True)
class Asterisk:
    """A running instance on 127.0.0.1.

    folder: its configuration, log and recordings. wrapup: seconds in which an agent gets no queue call after one; 0,
    so that no test waits for the agents of the one before.
    """

    ami_port: int
    sip_port: int
    folder: Path
    flavour: Flavour = Flavour.V22
    wrapup: int = 0

    @property
    def trunk_port(self) -> int:
        return self.sip_port + _TRUNK

    def account(self, username: str = "callcard") -> PbxSettings:
        """How the product reaches it: `callcard` sees everything, `cardmin` is the least-privilege account."""
        return PbxSettings(host="127.0.0.1", port=self.ami_port, username=username, secret=f"{username}-test")


def installed(flavour: Flavour = Flavour.V22) -> str | None:
    """None if it can run here, else why not."""
    if os.geteuid() != 0:
        return "a real Asterisk needs root (make test-asterisk says more)"
    if not (flavour.root / ".ast-ready").exists():
        return f"no Asterisk in {flavour.root} (tests/asterisk/ensure installs it)"
    return None


def start(flavour: Flavour = Flavour.V22, wrapup: int = 0) -> Asterisk:
    """Start an instance. Raises RuntimeError with what Asterisk said if it does not come up."""
    sip = _free_block()
    asterisk = Asterisk(sip + _AMI, sip, flavour.root / "srv" / f"ast-{sip + _AMI}", flavour, wrapup)
    start_again(asterisk)
    return asterisk


def start_again(asterisk: Asterisk) -> None:
    """Start it, on the same ports, after `kill`. Raises as `start`."""
    done = _script("start", asterisk)
    if done.returncode != 0:
        raise RuntimeError(f"Asterisk did not start: {done.stdout}{done.stderr}")


def kill(asterisk: Asterisk) -> None:
    """End it without a word, as a crash does. Returns when it is gone."""
    pid = int((asterisk.folder / "run" / f"asterisk-{asterisk.ami_port}.pid").read_text())
    gone = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(gone, signal.SIGKILL)
        select.select([gone], [], [])
    finally:
        os.close(gone)


def stop(asterisk: Asterisk, keep: bool) -> None:
    """End it, by its pid. keep: leave its folder, to see what happened."""
    done = _script("stop", asterisk)
    if done.returncode != 0:
        raise RuntimeError(f"Asterisk did not stop: {done.stdout}{done.stderr}")
    if not keep:
        shutil.rmtree(asterisk.folder)


def _script(name: str, asterisk: Asterisk) -> "subprocess.CompletedProcess[str]":
    own = {
        "AST_ROOT": asterisk.flavour.root,
        "AST_TECH": asterisk.flavour.tech,
        "AMI_PORT": asterisk.ami_port,
        "SIP_PORT": asterisk.sip_port,
        "TRUNK_PORT": asterisk.trunk_port,
        "LOAD_PORT": asterisk.sip_port + _LOAD,
        "RTP_START": asterisk.sip_port + _RTP,
        "RTP_END": asterisk.sip_port + _RTP + 199,
        "AST_RUN": asterisk.folder / "run",
        "AST_WRAPUP": asterisk.wrapup,
    }
    environment = os.environ | {key: str(value) for key, value in own.items()}
    return subprocess.run(
        [HERE / name], env=environment, capture_output=True, text=True, check=False, timeout=_START_SECONDS
    )


def _free_block() -> int:
    """A SIP port with its neighbours free. Tried in any order, so that two test runs rarely meet."""
    for port in random.sample(_PORTS, len(_PORTS)):
        if all(_is_free(*end) for end in _ends(port)):
            return port
    raise RuntimeError(f"no free ports between {_PORTS.start} and {_PORTS.stop}")


def _ends(port: int) -> Iterable[tuple[socket.SocketKind, int]]:
    yield socket.SOCK_DGRAM, port
    yield socket.SOCK_DGRAM, port + _TRUNK
    yield socket.SOCK_STREAM, port + _AMI


def _is_free(kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
