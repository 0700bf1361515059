"""What a PBX says is going on now: the input of a resync."""

from dataclasses import dataclass

from ami_listener.message import AmiMessage


@dataclass(frozen=True, slots=True)
class PbxSnapshot:
    """The answers, in the PBX's own words, that a client collects after it has (re)connected.

    channels: `CoreShowChannel` events (Channel, ChannelState, CallerIDNum, Context, Exten, Application, Duration,
        BridgeId, Uniqueid, Linkedid …).
    queue_entries: `QueueEntry` events (Queue, Position, Channel, Uniqueid, CallerIDNum, Wait).
    queue_members: `QueueMember` events (Queue, Name, Location, StateInterface, Status, Paused, PausedReason …).
    booted_at: `CoreStartupDate`+`CoreStartupTime` of `CoreStatus`, verbatim, if the account may ask: another value
        than last time means that the PBX was restarted and every channel of before is gone.
    """

    channels: tuple[AmiMessage, ...]
    queue_entries: tuple[AmiMessage, ...] = ()
    queue_members: tuple[AmiMessage, ...] = ()
    booted_at: str | None = None
