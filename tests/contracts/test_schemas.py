"""The published JSON Schemas are those of the code."""

import pytest

from services.schemas import FOLDER, documents


@pytest.mark.parametrize("name", sorted(documents()))
def test_the_published_schema_is_the_contract(name: str) -> None:
    assert (FOLDER / name).read_text() == documents()[name], "run `make schemas` and commit the difference"


def test_nothing_is_published_that_is_no_contract() -> None:
    assert {p.name for p in FOLDER.glob("*.json")} == set(documents())
