"""What Zammad's documentation says of its generic CTI end point, as a receiver that lets nothing else through.

docs.zammad.org, REST API: Generic CTI: pages New Call, Call Answered, Call Hangup.
"""

import re
from typing import Any

import orjson

from tests.card_api.webhooks.receiver import Request

_ALWAYS = {"event", "from", "to", "direction", "callId"}
_MAY: dict[str, set[str]] = {
    "newCall": {"user", "queue"},
    "answer": {"user", "answeringNumber"},
    "hangup": {"user", "answeringNumber"},
}
_CAUSES = {"normalClearing", "busy", "cancel", "noAnswer", "congestion", "notFound", "forwarded"}
# 493055571600, 02214710334, an extension; no plus, no spaces.
_NUMBER = re.compile(r"^[0-9*#]{1,40}$")


class Zammad:
    """Answers as Zammad does. calls: callId → its state."""

    def __init__(self) -> None:
        self.calls: dict[str, str] = {}
        self.said: list[dict[str, Any]] = []

    async def __call__(self, request: Request) -> tuple[int, str]:
        try:
            self._take(request)
        except AssertionError as wrong:
            return 422, orjson.dumps({"error": str(wrong)}).decode()
        return 200, "{}"

    def _take(self, request: Request) -> None:
        assert request.headers["content-type"] == "application/json"
        said = request.json
        assert isinstance(said, dict)
        event = said.get("event")
        assert event in _MAY, f"Unknown event {event}"
        required = _ALWAYS | ({"cause"} if event == "hangup" else set())
        assert required <= set(said), f"missing: {required - set(said)}"
        assert set(said) <= required | _MAY[event], f"unknown: {set(said) - required - _MAY[event]}"
        assert said["direction"] in ("in", "out"), "Invalid direction!"
        for end in ("from", "to"):
            assert said[end] == "anonymous" or _NUMBER.match(said[end]), f"{end}: {said[end]!r}"
        assert re.fullmatch(r"[A-Za-z0-9]{1,250}", said["callId"])
        if "user" in said:
            assert isinstance(said["user"], list) and all(isinstance(u, str) and u for u in said["user"])
        for text in ("queue", "answeringNumber"):
            assert text not in said or (isinstance(said[text], str) and said[text])
        state = self.calls.get(said["callId"])
        if event == "newCall":
            assert state is None, f"call_id {said['callId']} already exists!"
        else:
            assert state is not None, f"No such call_id {said['callId']}"
        if event == "answer":
            assert state == "newCall"
        if event == "hangup":
            assert said["cause"] in _CAUSES
        self.calls[said["callId"]] = event
        self.said.append(said)
