"""Writes `docs/schemas/*.json`: the JSON Schema of everything on a wire. A test compares them with the contracts."""

import json
from pathlib import Path

from pydantic import BaseModel

from shared.contracts.agents import AgentPhones
from shared.contracts.call import Call, CallUpdate, PbxRoster, PbxStatus
from shared.contracts.card import Card, CardPublication
from shared.contracts.floor import FloorRoster, PhoneUpdate, QueueUpdate
from shared.contracts.push import DeskSnapshot, Receipt
from shared.errors import ProblemDocument

FOLDER = Path(__file__).parent.parent / "docs" / "schemas"
CONTRACTS: tuple[type[BaseModel], ...] = (
    AgentPhones,
    Call,
    CallUpdate,
    Card,
    CardPublication,
    DeskSnapshot,
    FloorRoster,
    PbxRoster,
    PbxStatus,
    PhoneUpdate,
    QueueUpdate,
    Receipt,
    ProblemDocument,
)


def documents() -> dict[str, str]:
    """File name → contents, for each contract as it is serialised."""
    return {
        f"{model.__name__}.json": json.dumps(
            model.model_json_schema(mode="serialization"), indent=2, ensure_ascii=False, sort_keys=True
        )
        + "\n"
        for model in CONTRACTS
    }


def main() -> None:
    """Write them anew and remove what is no contract any more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = documents()
    for old in FOLDER.glob("*.json"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
        print(f"docs/schemas/{name}")


if __name__ == "__main__":
    main()
