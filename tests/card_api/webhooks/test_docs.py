"""What docs/webhooks.md shows works as printed."""

import asyncio
import os
import re
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from card_api.webhooks.body import encoded
from card_api.webhooks.sender import Receiver as To
from card_api.webhooks.sender import Sender
from card_api.webhooks.signing import secret
from tests.card_api.conftest import SECRET
from tests.card_api.webhooks.conftest import Clock
from tests.card_api.webhooks.test_pure import HOOK

PAGE = Path(__file__).parents[3] / "docs" / "webhooks.md"


async def test_the_receiver_knows_ours_from_others(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    (tmp_path / "receiver.py").write_text(blocks[0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(tmp_path / "receiver.py"),
        str(port),
        env={**os.environ, "CALLCARD_SECRET": secret(SECRET, HOOK, 1)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )

    clock = Clock(datetime.now(UTC))
    ours, theirs = Sender(SECRET, True, clock), Sender("somebody else's secret, as long as ours", True, clock)
    to, body = To(HOOK, f"http://127.0.0.1:{port}/", 1, None), encoded({"type": "call.missed", "data": {}})
    try:
        async with asyncio.timeout(30):
            while (outcome := await ours.send(to, "event-1", body)).status_code is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # it is starting
        assert outcome.delivered
        assert process.stdout is not None
        assert await process.stdout.readline() == b"event-1 call.missed\n"
        assert (await theirs.send(to, "event-2", body)).status_code == 401
        # After a rotation either secret is known by it.
        rotated = To(HOOK, to.url, 2, clock.now)
        assert (await ours.send(rotated, "event-3", body)).delivered
        clock.forward(timedelta(minutes=-10))
        assert (await ours.send(to, "event-4", body)).status_code == 401, "it is old"
    finally:
        process.kill()
        await process.wait()
        await ours.close()
        await theirs.close()
