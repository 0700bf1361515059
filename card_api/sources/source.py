"""What a source of customers is. A plug-in implements `Source`; see docs/sources.md."""

from typing import Protocol

from card_api.lookup.schemas import FoundCustomer, Question


class Source(Protocol):
    """A system that may know who is calling.

    name: small letters, e.g. `crm`; with `external_id` the key of its customers.
    priority: of two sources that say different things the higher is shown.
    deadline: seconds after which the card calls it late; the answer is still taken when it comes.
    """

    @property
    def name(self) -> str: ...

    @property
    def priority(self) -> int: ...

    @property
    def deadline(self) -> float: ...

    async def find(self, question: Question) -> list[FoundCustomer]:
        """Everybody it knows behind the question, each with `source` = its name; nobody is an empty list, also for a
        question it has nothing to ask for (no number, no account). Raises `SourceFailed` when it cannot say, and
        `AnswerRefused` when what it said cannot be shown. May be cancelled."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


class SourceFailed(Exception):
    """The source cannot say. `kind`: one word for the metric; the text: a sentence for whoever runs the site, without
    numbers and names."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class AnswerRefused(SourceFailed):
    """It answered, but what it said must not be shown. About one caller, so it is no reason to stop asking."""

    def __init__(self, reason: str) -> None:
        super().__init__("refused", reason)
