"""What a PBX says of its phones and queues now: the input of a resync."""

from dataclasses import dataclass

from ami_listener.message import AmiMessage


@dataclass(frozen=True, slots=True)
class FloorSnapshot:
    """The answers, in the PBX's own words; None where it refused, so that nothing is concluded from silence.

    queues: all events of `QueueStatus` (QueueParams, QueueMember, QueueEntry; others are ignored).
    devices: all events of `DeviceStateList`, else of `PJSIPShowEndpoints`, else of `ExtensionStateList`.
    """

    queues: tuple[AmiMessage, ...] | None = None
    devices: tuple[AmiMessage, ...] | None = None
