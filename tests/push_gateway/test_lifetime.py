"""When a tab is pinged."""

import pytest

from push_gateway.lifetime import PING_SECONDS, PONG_SECONDS, Lifetime


@pytest.mark.parametrize("spread", [0.0, 0.4, 1.0])
def test_tabs_that_came_together_are_not_pinged_together(spread: float) -> None:
    lifetime = Lifetime(stale_at=10, spread=spread)
    lifetime.connected(100)
    first = 100 + spread * PING_SECONDS
    assert lifetime.deadline == first
    assert lifetime.tick(first) == "ping"
    assert lifetime.deadline == first + PONG_SECONDS
    lifetime.heard()
    assert lifetime.deadline == first + PING_SECONDS
