"""What a live channel says, as lines."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from services.cli.push_lines import json_line, line, mask_text, masked

AT = datetime(2026, 11, 22, 9, 3, 4, 512_000, UTC)
MOSCOW = ZoneInfo("Europe/Moscow")


def card_push(**card: Any) -> dict[str, Any]:
    whole = {
        "call_id": "main-1",
        "rev": 37,
        "state": "ringing",
        "call": {"number": "+79031234567", "queue": "support"},
        "caller": {"name": "Анна Ким"},
        **card,
    }
    return {"channel": "agent:101", "pub": {"data": {"type": "card", "card": whole}, "offset": 8}}


def test_a_card_is_one_line_without_what_is_personal() -> None:
    assert line(card_push(), AT, MOSCOW, personal=False) == (
        "12:03:04.512  agent:101  #8  card ringing  +7903…67 А… К…  main-1 rev 37"
    )
    assert "+79031234567 Анна Ким" in line(card_push(), AT, MOSCOW, personal=True)
    closed = card_push(state="closed", close_reason="no_answer", call={}, caller={})
    assert "card closed (no_answer)  no number  main-1" in line(closed, AT, MOSCOW, personal=False)
    withheld = card_push(call={"number": None, "presentation": "restricted"}, caller={})
    assert "card ringing  number withheld  main-1" in line(withheld, AT, MOSCOW, personal=False)


@pytest.mark.parametrize("what", ["join", "leave"])
def test_tabs_that_come_and_go(what: str) -> None:
    push = {"channel": "agent:101", what: {"info": {"user": "101", "client": "c1"}}}
    words = {"join": "came", "leave": "left"}[what]
    assert line(push, AT, MOSCOW, personal=False).endswith(f"agent:101  a tab {words}: 101 (c1)")


def test_what_is_no_card_is_shown_shortly() -> None:
    push = {"channel": "line:support", "pub": {"data": {"type": "line", "waiting": 3}, "offset": 1}}
    assert line(push, AT, MOSCOW, personal=False).endswith('#1  line  {"waiting":3}')
    push["pub"] = {"data": ["x" * 1000], "offset": 2}
    assert len(line(push, AT, MOSCOW, personal=True)) < 250
    push["pub"] = {"data": {"type": "card", "card": {}}, "offset": 3}  # not ours: no reason to stop
    assert line(push, AT, MOSCOW, personal=False).endswith('card  {"card":{}}')


def test_json_is_what_the_tabs_get() -> None:
    raw = orjson.loads(json_line(card_push(), AT, personal=True))
    assert raw == {"at": "2026-11-22T09:03:04.512Z", **card_push()}
    safe = orjson.loads(json_line(card_push(), AT, personal=False))
    assert safe["channel"] == "agent:101"
    assert safe["pub"]["data"]["card"]["caller"] == {"name": "А… К…"}


def test_a_field_nobody_named_is_masked() -> None:
    document = {"type": "card", "tomorrow": ["Anna Kim"], "rev": 5, "ok": True, "none": None, "state": "held"}
    assert masked(document) == {**document, "tomorrow": ["A… K…"]}
    assert (mask_text("+79031234567"), mask_text("101"), mask_text("")) == ("+7903…67", "101", "")
