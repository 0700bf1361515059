"""What the routes of phones and queues answer: the same messages as on the way to a board."""

from pydantic import BaseModel, Field

from shared.contracts.call import PbxLink, PbxStatus
from shared.contracts.floor import PhoneUpdate, QueueUpdate


class PbxList(BaseModel):
    items: list[PbxStatus]


class QueueList(BaseModel):
    pbx: str
    link: PbxLink | None = Field(
        description="if it is not `up`, this is how it was; null if no listener follows the PBX now"
    )
    items: list[QueueUpdate]


class PhoneList(BaseModel):
    pbx: str
    link: PbxLink | None
    items: list[PhoneUpdate]
