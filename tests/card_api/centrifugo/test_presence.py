"""Is a tab of the agent there? What a ring that nobody saw is explained with."""

from typing import Any, cast

import pytest

from card_api.centrifugo.client import Centrifugo, CentrifugoAway
from card_api.receipts.ring import Tabs
from card_api.receipts.tabs import tabs_of
from tests.e2e.standin import StandIn


async def test_whether_a_tab_is_there(centrifugo: Centrifugo, server: StandIn) -> None:
    ask = tabs_of(centrifugo.connected)
    assert await ask("101") == Tabs(connected=False)
    cast("Any", server.channel("agent:101").listeners).add("a tab")
    assert await ask("101") == Tabs(connected=True)
    assert await ask("102") == Tabs(connected=False)


async def test_nobody_knows_while_it_is_away(centrifugo: Centrifugo) -> None:
    with pytest.raises(CentrifugoAway):
        await centrifugo.connected("agent:101")
