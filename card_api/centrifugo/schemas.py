"""What Centrifugo asks (version 6, HTTP proxies, JSON), as far as it matters here. Unknown fields are ignored."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Asked(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Meta(Asked):
    """What we gave Centrifugo to keep with a connection: whose it is, by the token it came with.

    Times in seconds since 1970. `ends_at`: when the tab needs a new token.
    """

    role: str = "agent"
    issued_at: float = 0.0
    ends_at: float = 0.0
    channels: list[str] = []


class ConnectAsked(Asked):
    """`data` is what the tab said when it connected: `{"token": "…"}`."""

    data: Any = None


class RefreshAsked(Asked):
    user: str
    meta: Meta = Meta()


class SubscribeAsked(Asked):
    user: str
    channel: str
    meta: Meta = Meta()


class RpcAsked(Asked):
    user: str
    method: str
    data: Any = None
    client: str = Field("", description="the connection that says so")
