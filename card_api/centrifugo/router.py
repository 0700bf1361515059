"""The addresses that Centrifugo's proxies are set to (docs/centrifugo.md)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from card_api.centrifugo.proxy import PushProxy
from card_api.centrifugo.schemas import ConnectAsked, RefreshAsked, RpcAsked, SubscribeAsked
from shared.errors import Unauthorised
from shared.security import same

SECRET_HEADER = "X-Callcard-Centrifugo"  # noqa: S105 - a header's name


def centrifugo_router(proxy: PushProxy, secret: str) -> APIRouter:
    """Only who knows the secret is answered: whoever may connect as 101 is decided here."""
    expected = secret.encode()

    def is_centrifugo(said: Annotated[str, Header(alias=SECRET_HEADER)] = "") -> None:
        if not same(said.encode(), expected):
            raise Unauthorised(
                "This address is for Centrifugo: its configuration sends CALLCARD_PUSH__CENTRIFUGO_SECRET in the "
                f"header {SECRET_HEADER} (docs/centrifugo.md)."
            )

    # Not in the OpenAPI document: one program calls it, in the words of that program.
    router = APIRouter(
        prefix="/api/v1/centrifugo", include_in_schema=False, dependencies=[Depends(is_centrifugo)]
    )

    @router.post("/connect")
    async def connect(asked: ConnectAsked) -> Response:
        return _json(await proxy.connect(asked))

    @router.post("/refresh")
    async def refresh(asked: RefreshAsked) -> Response:
        return _json(await proxy.refresh(asked))

    @router.post("/subscribe")
    async def subscribe(asked: SubscribeAsked) -> Response:
        return _json(proxy.subscribe(asked))

    @router.post("/rpc")
    async def rpc(asked: RpcAsked) -> Response:
        return _json(await proxy.rpc(asked))

    return router


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
