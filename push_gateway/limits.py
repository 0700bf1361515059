"""What one tab may ask of the gateway."""

from dataclasses import dataclass
from typing import Self

from push_gateway.pace import DEAF_FACTOR
from shared.settings import PushSettings


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one connection; `connections` is those of one agent in this process."""

    frame_chars: int = 64 * 1024
    commands_per_second: int = 50
    channels: int = 64
    connections: int = 16
    first_command_seconds: float = 10.0
    queue_bytes: int = 1024 * 1024

    @property
    def frame_lines(self) -> int:
        """More commands than this in one frame would end the connection in any case."""
        return self.commands_per_second * DEAF_FACTOR

    @classmethod
    def of(cls, settings: PushSettings) -> Self:
        return cls(
            frame_chars=settings.frame_kb * 1024,
            commands_per_second=settings.commands_per_second,
            channels=settings.channels,
            connections=settings.connections_per_agent,
            first_command_seconds=settings.first_command_seconds,
            queue_bytes=settings.queue_kb * 1024,
        )
