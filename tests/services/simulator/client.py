"""A plain AMI client for tests: it writes actions, reads packets, and knows nothing."""

import asyncio
import itertools
from types import TracebackType
from typing import Self

Packet = dict[str, str]

WAIT = 5.0
"""Seconds after which a test that waits for a packet has failed."""


class AmiClient:
    """One connection; packets are dicts of their headers, the first value of each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.raw = bytearray()
        self._numbers = itertools.count(1)

    @classmethod
    async def connect(cls, address: tuple[str, int]) -> Self:
        """Connect and read the banner."""
        client = cls(*await asyncio.open_connection(*address))
        client.raw += await client.reader.readuntil(b"\r\n")
        return client

    @classmethod
    async def log_in(cls, address: tuple[str, int], username: str = "callcard", **fields: str) -> Self:
        """Connect and log in with the password of the simulator's default accounts."""
        client = await cls.connect(address)
        secret = {"callcard": "callcard-test", "cardmin": "cardmin-test"}[username]
        answer = (await client.ask("Login", Username=username, Secret=secret, **fields))[0]
        assert answer["Message"] == "Authentication accepted"
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()

    def write(self, action: str, **fields: str) -> str:
        """Send an action; returns its ActionID."""
        action_id = f"test-{next(self._numbers)}"
        lines = [f"Action: {action}", f"ActionID: {action_id}", *(f"{k}: {v}" for k, v in fields.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        return action_id

    async def packet(self) -> Packet:
        """The next packet; ConnectionError if there is none any more."""
        try:
            data = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT)
        except asyncio.IncompleteReadError:
            raise ConnectionError("the PBX has closed the connection") from None
        self.raw += data
        pairs = (line.partition(":") for line in data.decode().strip("\r\n").split("\r\n"))
        packet: Packet = {}
        for name, _, value in pairs:
            packet.setdefault(name, value.strip())
        return packet

    async def ask(self, action: str, **fields: str) -> list[Packet]:
        """Send an action; its answer and, of a list, the events of the list with the end mark."""
        action_id = self.write(action, **fields)
        answers: list[Packet] = []
        while True:
            packet = await self.packet()
            if packet.get("ActionID") != action_id or packet.get("Event") == "OriginateResponse":
                continue
            answers.append(packet)
            if answers[0].get("EventList") != "start" or packet.get("EventList") == "Complete":
                return answers

    async def until(self, event: str, **fields: str) -> Packet:
        """The next event of a name with these headers."""
        while True:
            packet = await self.packet()
            if packet.get("Event") == event and all(packet.get(k) == v for k, v in fields.items()):
                return packet

    async def until_closed(self) -> list[Packet]:
        """Everything until the PBX closes the connection."""
        found: list[Packet] = []
        while True:
            try:
                found.append(await self.packet())
            except ConnectionError:
                return found

    async def events(self) -> list[Packet]:
        """Every event that was sent up to now (a Ping marks the place)."""
        action_id = self.write("Ping")
        found: list[Packet] = []
        while True:
            packet = await self.packet()
            if packet.get("ActionID") == action_id:
                return found
            if "Event" in packet:
                found.append(packet)
