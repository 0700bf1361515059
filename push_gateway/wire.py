"""Commands, replies and pushes of the protocol as pydantic models, for the AsyncAPI document.

Nothing here is on the way of a frame: `session` and `protocol` read and write them, and a test holds what they write
against these.

Unknown fields are ignored in both directions.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from shared.contracts.push import CardSeen, DeskSnapshot


class Recover(BaseModel):
    """Where the tab was in a channel."""

    recover: bool = Field(False, description="true: send what was missed since this position")
    epoch: str = ""
    offset: int = Field(0, ge=0, le=2**53)


class ConnectRequest(BaseModel):
    token: str = Field(description="JWT of the agent (docs/push-tokens.md); never in the URL")
    subs: dict[str, Recover] = Field({}, description="agent:<login>: where the tab was")
    name: str = Field("", description="of the SDK")
    version: str = ""


class SubscribeRequest(Recover):
    channel: str = Field(min_length=1, max_length=255)
    flag: int = Field(
        0, description="bit 2: answer error 112 instead of a subscription that is not recovered"
    )


class ChannelRequest(BaseModel):
    channel: str


class RefreshRequest(BaseModel):
    token: str = Field(description="a newer token of the same agent")


class Since(BaseModel):
    offset: int = 0
    epoch: str = ""


class HistoryRequest(BaseModel):
    channel: str
    limit: int = Field(0, description="at most so many publications; 0: the position alone; below 0: all")
    since: Since | None = None
    reverse: bool = False


class RpcRequest(BaseModel):
    """A receipt that is answered. Everything an agent does is REST."""

    method: Literal["card.shown", "card.opened"]
    data: CardSeen


class SendData(CardSeen):
    type: Literal["card.shown", "card.opened"]


class SendRequest(BaseModel):
    """A receipt nobody answers; one that is not understood is dropped."""

    data: SendData


class Nothing(BaseModel):
    """An empty object."""


class PublicationPush(BaseModel):
    data: Any = Field(description="one of the channel's messages")
    offset: int = Field(description="counts up by one in a channel")


class SubscribeResult(BaseModel):
    recoverable: Literal[True]
    positioned: Literal[True]
    epoch: str = Field(description="names this incarnation of the channel")
    offset: int
    recovered: bool = Field(
        description="true: `publications` is everything that was missed; false: it is empty"
    )
    was_recovering: bool
    publications: list[PublicationPush]


class RefreshResult(BaseModel):
    client: str
    version: str
    expires: Literal[True]
    ttl: int = Field(description="seconds after which the tab sends a newer token")


class ConnectResult(RefreshResult):
    ping: int = Field(description="seconds between the gateway's pings, `{}`")
    pong: Literal[True] = Field(description="the tab answers a ping with `{}`")
    node: str
    session: str = Field("", description="for HTTP streaming: with it and `node` the tab posts to /emulation")
    time: int = Field(description="milliseconds since 1970")
    data: DeskSnapshot
    subs: dict[str, SubscribeResult] = Field(description="agent:<login>, subscribed by the gateway")


class ClientInfo(BaseModel):
    user: str = Field(description="login")
    client: str = Field(description="one tab")


class PresenceResult(BaseModel):
    presence: dict[str, ClientInfo]


class PresenceStatsResult(BaseModel):
    num_clients: int
    num_users: int


class HistoryResult(BaseModel):
    publications: list[PublicationPush]
    epoch: str
    offset: int


class RpcResult(BaseModel):
    data: Nothing


class ErrorBody(BaseModel):
    code: int = Field(description="one of x-errors")
    message: str
    temporary: bool = Field(False, description="true: the same may be tried again later")


class ErrorReply(BaseModel):
    id: int
    error: ErrorBody


class InfoPush(BaseModel):
    info: ClientInfo


class EndPush(BaseModel):
    code: int
    reason: str
