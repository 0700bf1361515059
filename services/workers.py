"""`callcard run gateway --workers N`: several processes of the gateway behind one port.

One process is one core. Each has the port for itself (SO_REUSEPORT: Linux spreads new connections over them) and
knows nothing of the others; an agent's tabs may sit on any of them, because all hear the same Redis. This process only
starts them, starts one again that died, and ends them together with itself.
"""

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

from services.embedded.process import STOP_SECONDS
from services.front import listen
from services.sibling import Sibling
from shared.observability import logger
from shared.settings import Settings, SettingsError

# More than anybody's machine has cores; a typing error starts no thousand.
MOST_WORKERS = 64
# One that dies at once, again and again, shall not take the machine with it.
_RESTART_SECONDS = 1.0
# `callcard` ends so when a setting is wrong: starting it again would not mend that.
_WRONG_SETTING = 2


async def run_workers(settings: Settings, count: int) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code. Raises `PortTaken`."""
    if sys.platform != "linux":
        raise SettingsError("--workers needs Linux, where several processes share a port evenly.")
    log = logger("callcard")
    # Once as everybody would, so that a port that is in use is a sentence; then so that others may join.
    host, port = settings.http.host, settings.http.port
    listen(host, port).close()
    held = listen(host, port, shared=True)
    port = held.getsockname()[1]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, stop.set)
    with held, tempfile.TemporaryDirectory(prefix="callcard-gateway-") as name:
        log.info("starting gateways", processes=count, port=port)
        places = (Sibling(number, Path(name)) for number in range(1, count + 1))
        tasks = [asyncio.create_task(_keep_running(place, port, stop)) for place in places]
        codes = await asyncio.gather(*tasks)
    return max(codes)


async def _keep_running(place: Sibling, port: int, stop: asyncio.Event) -> int:
    log = logger("callcard").bind(process=place.number)
    while True:
        # Its standard input ends when we do, however that happens; then it ends, too.
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli.main", "run", "gateway", "--sibling", str(place)),
            stdin=asyncio.subprocess.PIPE,
            env=os.environ | {"CALLCARD_HTTP__PORT": str(port)},
            # Ctrl-C in the terminal is for us; we end them together.
            start_new_session=True,
        )
        ended, asked = asyncio.create_task(child.wait()), asyncio.create_task(stop.wait())
        await asyncio.wait([ended, asked], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            asked.cancel()
            return await _end(child, ended)
        asked.cancel()
        code = ended.result()
        if code == _WRONG_SETTING:
            stop.set()
            return code
        log.error("a gateway process ended by itself and is started again", exit_code=code)
        await asyncio.sleep(_RESTART_SECONDS)


async def _end(child: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> int:
    if not ended.done():
        child.send_signal(signal.SIGTERM)
        done, _ = await asyncio.wait([ended], timeout=STOP_SECONDS + 1)
        if not done:
            child.kill()
    await ended
    return 0
