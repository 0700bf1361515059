"""The page's TypeScript types are the wire form of the Python contracts: names, optional ones, and words."""

import re
from enum import StrEnum
from types import NoneType
from typing import get_args

import pytest
from pydantic import BaseModel

from services.desk.build import WEB
from shared.contracts import call, card, push

SOURCE = (WEB / "src" / "contract.ts").read_text()
MODELS: list[type[BaseModel]] = [
    card.Card,
    card.CallSummary,
    card.CallerProfile,
    card.Named,
    card.Person,
    card.Account,
    card.Category,
    card.Ticket,
    card.Order,
    card.PastCall,
    card.Note,
    card.DoNotCall,
    card.BlackListed,
    card.Attribute,
    card.Callback,
    card.Link,
    card.Candidate,
    card.Source,
    card.CardAction,
    push.DeskSnapshot,
]
ENUMS: list[type[StrEnum]] = [
    card.CardState,
    card.CloseReason,
    card.MatchKind,
    card.MatchedBy,
    card.DoNotCallReason,
    card.SourceStatus,
    call.Direction,
    call.Presentation,
    call.CallEndReason,
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_of_the_page_is_on_the_wire(model: type[BaseModel]) -> None:
    body = re.search(rf"interface {model.__name__} \{{(.*?)\n\}}", SOURCE, re.S)
    assert body, f"contract.ts has no interface {model.__name__}"
    fields = dict(re.findall(r"^  (\w+): (.+);$", body[1], re.M))
    assert fields
    for name, kind in fields.items():
        assert name in model.model_fields, f"{model.__name__}.{name} is not in the contract"
        nullable = NoneType in get_args(model.model_fields[name].annotation)
        assert kind.endswith("| null") is nullable, f"{model.__name__}.{name}: {kind}"


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_the_words_are_the_same(enum: type[StrEnum]) -> None:
    union = re.search(rf"type {enum.__name__} =(.*?);", SOURCE, re.S)
    assert union, f"contract.ts has no type {enum.__name__}"
    assert set(re.findall(r'"(\w+)"', union[1])) == {word.value for word in enum}
