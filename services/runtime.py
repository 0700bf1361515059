"""Wiring: which pieces run in this process, on which servers, behind which port.

`serve` is the whole life of a `callcard run` process: embedded servers (if wanted), schema, the pieces in order,
one HTTP port, and the way back when it is asked to stop.

A piece is imported when it is chosen: a container loads what it runs, and starts in half the time.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from services.collector import collecting
from services.embedded import EmbeddedPostgres, EmbeddedValkey
from services.embedded.running import announced
from services.front import Front, Mount, listen, serving
from services.sibling import OneOfSeveral, Sibling
from shared.observability import logger
from shared.settings import Settings, SettingsError


class Target(StrEnum):
    """A piece that `callcard run` can run; each can be a container of its own."""

    LISTENER = "listener"
    API = "api"
    GATEWAY = "gateway"
    DESK = "desk"
    WORKER = "worker"
    SIMULATOR = "simulator"
    ALL = "all"


# `all` is the product; the simulator is a PBX and comes only when asked for.
PRODUCT = (Target.API, Target.WORKER, Target.GATEWAY, Target.LISTENER, Target.DESK)

_NEEDS_DATABASE = {Target.API, Target.WORKER}
_NEEDS_REDIS = {Target.API, Target.GATEWAY, Target.LISTENER}
_NEEDS_SECRET = {Target.API, Target.GATEWAY, Target.WORKER}


@dataclass(frozen=True, slots=True)
class Servers:
    """Where this process finds its servers and with what it signs tokens. Empty: no piece here needs it (`check`)."""

    database_url: str
    redis_url: str
    auth_secret: str


def chosen(targets: Sequence[Target]) -> tuple[Target, ...]:
    """The pieces that `targets` mean, each once, in the order they start."""
    wanted = set(targets)
    if Target.ALL in wanted:
        wanted = (wanted - {Target.ALL}) | set(PRODUCT)
    return tuple(t for t in (Target.SIMULATOR, *PRODUCT) if t in wanted)


def check(settings: Settings, targets: Sequence[Target]) -> None:
    """Raises SettingsError, in sentences, if these pieces cannot run with these settings."""
    pieces = set(chosen(targets))
    embedded = Target.ALL in targets
    problems = []
    if Target.LISTENER in pieces and not settings.pbx:
        problems.append(
            "No PBX is configured. Set CALLCARD_PBX__MAIN__HOST, CALLCARD_PBX__MAIN__USERNAME and "
            "CALLCARD_PBX__MAIN__SECRET (README: Connect your Asterisk), or try `callcard demo`."
        )
    for name, pbx in settings.pbx.items():
        if Target.LISTENER in pieces and not pbx.secret.get_secret_value():
            problems.append(
                f"CALLCARD_PBX__{name.upper()}__SECRET is missing: the secret of the AMI user "
                f"{pbx.username!r} in manager.conf."
            )
    if not embedded:
        if pieces & _NEEDS_DATABASE and settings.database.url is None:
            problems.append(
                "CALLCARD_DATABASE__URL is missing, e.g. postgresql://callcard:…@db/callcard. "
                "(Only `run all` brings its own.)"
            )
        if pieces & _NEEDS_REDIS and settings.redis.url is None:
            problems.append(
                "CALLCARD_REDIS__URL is missing, e.g. redis://redis:6379/0. (Only `run all` brings its own.)"
            )
        if pieces & _NEEDS_SECRET and settings.auth.secret is None:
            problems.append(
                "CALLCARD_AUTH__SECRET (or …_FILE) is missing. The API, the gateway and the worker need the same "
                "one: "
                "openssl rand -hex 32 makes it."
            )
    if problems:
        raise SettingsError("\n".join(problems))


@contextlib.contextmanager
def servers(settings: Settings, targets: Sequence[Target]) -> Any:
    """The servers of this process; with `all`, those without an address are embedded ones, ended at the end."""
    embedded = Target.ALL in targets
    folder = settings.data_dir
    with contextlib.ExitStack() as stack:
        database = settings.database.url.get_secret_value() if settings.database.url else ""
        redis = settings.redis.url.get_secret_value() if settings.redis.url else ""
        secret = settings.auth.secret.get_secret_value() if settings.auth.secret else ""
        if embedded:
            ends: list[Callable[[], None]] = []
            stack.callback(together, ends)
            folder.mkdir(parents=True, exist_ok=True)
            secret = secret or kept_secret(folder / "auth-secret", lambda: secrets.token_hex(32))
            if not database:
                postgres = EmbeddedPostgres(folder).start()
                ends.append(postgres.stop)
                database = postgres.url
            if not redis:
                valkey = EmbeddedValkey(folder).start()
                ends.append(valkey.stop)
                redis = valkey.url
            stack.enter_context(announced(folder, database, redis))
        yield Servers(database, redis, secret)


def together(ends: Sequence[Callable[[], None]]) -> None:
    """Do these side by side: each server writes to the disk while it ends, the longest part of the way back."""
    with ThreadPoolExecutor(max(len(ends), 1)) as beside:
        for ending in [beside.submit(end) for end in ends]:
            ending.result()


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """What is in the file, made at the first time; readable by its owner only."""
    if path.exists():
        return path.read_text().strip()
    path.touch(mode=0o600)
    value = make()
    path.write_text(value + "\n")
    return value


@contextlib.asynccontextmanager
async def pieces(settings: Settings, targets: Sequence[Target], at: Servers) -> AsyncIterator[Front]:
    """The chosen pieces, running, behind one ASGI application."""
    async with contextlib.AsyncExitStack() as stack:
        mounts: list[Mount] = []
        for target in chosen(targets):
            app: Any
            if target is Target.SIMULATOR:
                from services.samples import sample_callers
                from services.simulator.app import simulator

                app = await stack.enter_async_context(simulator(settings, sample_callers()))
                mounts.append(Mount("simulator", app, ("/simulator",)))
            elif target is Target.API:
                from card_api.app import card_api
                from services.migrate import upgrade

                if Target.ALL in targets:
                    await upgrade(at.database_url)
                app = await stack.enter_async_context(
                    card_api(
                        settings,
                        database_url=at.database_url,
                        redis_url=at.redis_url,
                        auth_secret=at.auth_secret,
                    )
                )
                mounts.append(Mount("api", app, ("/api", "/docs", "/openapi.json")))
            elif target is Target.WORKER:
                from services.worker import worker

                app = await stack.enter_async_context(
                    worker(settings, database_url=at.database_url, auth_secret=at.auth_secret)
                )
                mounts.append(Mount("worker", app, ()))
            elif target is Target.GATEWAY:
                from push_gateway.app import push_gateway

                app = await stack.enter_async_context(
                    push_gateway(settings, redis_url=at.redis_url, auth_secret=at.auth_secret)
                )
                mounts.append(Mount("gateway", app, ("/connection", "/emulation")))
            elif target is Target.LISTENER:
                from ami_listener.app import ami_listener

                app = await stack.enter_async_context(ami_listener(settings, redis_url=at.redis_url))
                mounts.append(Mount("listener", app, ()))
            elif target is Target.DESK:
                from services.desk.app import desk

                mounts.append(Mount("desk", desk(settings), ("/",)))
        yield Front(mounts)


async def serve(
    settings: Settings,
    targets: Sequence[Target],
    at: Servers,
    on_ready: Callable[[str], Awaitable[None]] | None = None,
    sibling: Sibling | None = None,
) -> None:
    """Run until SIGINT or SIGTERM. `on_ready(address)` is called when the HTTP port answers. sibling: which of several
    processes on this port this is; it ends with the one that started them."""
    log = logger("callcard")
    sock = listen(settings.http.host, settings.http.port, shared=sibling is not None)
    beside = [] if sibling is None else [_unix_socket(sibling.socket)]
    async with (
        pieces(settings, targets, at) as front,
        serving(
            front if sibling is None else OneOfSeveral(front, sibling.folder),
            sock,
            front.drain,
            beside,
            settings.http.trusted_proxies,
        ) as address,
        collecting(),
    ):
        log.info("running", targets=[str(t) for t in chosen(targets)], address=address)
        if on_ready is not None:
            await on_ready(address)
        await _asked_to_stop(sibling is not None)
        log.info("stopping")


def _unix_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of one that died
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    return sock


async def _asked_to_stop(also_by_the_end_of_input: bool = False) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, asked.set)
    if also_by_the_end_of_input:
        # Nobody writes to us, so the one thing there is to read is that our starter is gone.
        loop.add_reader(sys.stdin, asked.set)
    try:
        await asked.wait()
    finally:
        for sig in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(sig)
