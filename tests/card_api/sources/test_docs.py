"""The examples of docs/sources.md are settings that work."""

import re
import tomllib
from pathlib import Path

import pytest

from card_api.metrics import Metrics
from card_api.sources.build import build_sources
from shared.settings import Settings, load_settings

DOCS = Path(__file__).parents[3] / "docs" / "sources.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", DOCS.read_text(), re.DOTALL)


async def test_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = re.findall(r"^ *(CALLCARD_SOURCES__\w+)=(.*)$", DOCS.read_text(), re.MULTILINE)
    for name, value in variables:
        if not name.endswith("_FILE") and "__STAFF__" not in name:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("CALLCARD_SOURCES__ERP__PASSWORD", "x")
    sources = build_sources(load_settings(), Metrics())
    assert {source.name for source in sources} == {"crm", "bitrix", "amo", "erp"}
    for source in sources:
        await source.close()


async def test_the_table() -> None:
    (table,) = [block for block in blocks("toml") if "[sources" in block]
    (source,) = build_sources(Settings.model_validate(tomllib.loads(table)), Metrics())
    await source.close()
    (plugin,) = blocks("python")
    compile(plugin, "docs", "exec")
