"""What really happened in a call: the simulator knows, everybody else has to find out."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.contracts.call import (
    CallEndReason,
    Direction,
    LegEndReason,
    QueueOutcome,
    TransferKind,
    TransferOutcome,
)


@dataclass(slots=True)
class TrueLeg:
    """A phone that rang. Times are Unix seconds of the PBX's clock."""

    endpoint: str
    channel: str
    ringing_at: float
    answered_at: float | None = None
    ended_at: float | None = None
    end_reason: LegEndReason | None = None


@dataclass(slots=True)
class TrueTransfer:
    """The customer was passed on. by: endpoint of who did it; to: the number dialled for it."""

    kind: TransferKind
    by: str
    to: str
    at: float
    outcome: TransferOutcome | None = None


@dataclass(slots=True)
class Truth:
    """One call, whole. `uniqueid` is the first channel's: the product's call_id is `<pbx>-<uniqueid>`.

    number: as the PBX shows it, None if it shows none (`anonymous` for a withheld one). did: what was dialled.
    answered_by: endpoint of the first person who answered, who of ours or (outbound) the customer's trunk.
    missed: an inbound call in which nobody of ours talked to the caller. queue: the last one it was in.
    """

    uniqueid: str
    scenario: str
    direction: Direction
    number: str | None
    name: str | None
    did: str
    started_at: float
    queue: str | None = None
    queue_outcome: QueueOutcome | None = None
    digits: str = ""
    legs: list[TrueLeg] = field(default_factory=list)
    answered_by: str | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    end_reason: CallEndReason | None = None
    holds: int = 0
    transfers: list[TrueTransfer] = field(default_factory=list)
    consultation: bool = False  # a call of our own people, made in the course of another one

    @property
    def missed(self) -> bool:
        return self.direction is Direction.INBOUND and self.ended_at is not None and self.answered_at is None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, times as ISO 8601 in UTC."""
        plain = asdict(self)
        plain["missed"] = self.missed
        for part in (plain, *plain["legs"], *plain["transfers"]):
            for name in ("at", "started_at", "ringing_at", "answered_at", "ended_at"):
                if part.get(name) is not None:
                    moment = datetime.fromtimestamp(part[name], UTC)
                    part[name] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return plain
