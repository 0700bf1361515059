"""Whose older tokens are not good any more, and orders to close connections. Pure."""

from collections.abc import Mapping

from shared.push_control import TOKEN_ENDED, Disconnect


class Revocations:
    """What this process knows of ended tokens. It only grows: a Redis that lost its memory takes nothing back."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}

    def ended(self, login: str, issued_at: float) -> bool:
        """Is a token of this age not good any more? `issued_at` in seconds since 1970; 0 if the token does not say."""
        return issued_at < self._before.get(login, 0.0)

    def add(self, order: Disconnect) -> None:
        self._before[order.login] = max(order.before, self._before.get(order.login, 0.0))

    def merge(self, revoked: Mapping[str, float]) -> list[Disconnect]:
        """Take what Redis says after the link was away; returns the orders that were missed."""
        missed = [
            Disconnect(login=login, before=before, code=TOKEN_ENDED.code, reason=TOKEN_ENDED.reason)
            for login, before in revoked.items()
            if before > self._before.get(login, 0.0)
        ]
        for order in missed:
            self.add(order)
        return missed
