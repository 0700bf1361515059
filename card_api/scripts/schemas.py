"""Scripts as supervisors and other systems write and read them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from card_api.etag import etag_of
from shared.contracts.base import Contract, Timestamp

# What an agent can read while saying it; a longer text is a manual, and links lead there.
_LONGEST = 4000


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character: leave it out")
    return value


def _text(longest: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=longest)


Word = Annotated[str, _text(100), AfterValidator(_no_nul)]


class ScriptWrite(BaseModel):
    """What to say, and where. What is not given is any: without all four it is the script of every call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    did: Word | None = Field(None, description="the line that was called", examples=["8 800 000-00-03"])
    queue: Word | None = Field(None, examples=["support"])
    category: Word | None = Field(None, description="code of the caller's category", examples=["vip"])
    language: Literal["ru", "en"] | None = Field(None, description="of the agent")
    text: Annotated[str, _text(_LONGEST), AfterValidator(_no_nul)] = Field(
        description="{greeting} becomes the greeting, {name} how the caller is addressed; where nobody knows the name, "
        "its comma goes too",
        examples=["{greeting} Компания «Ромашка», меня зовут Анна."],
    )


class Script(Contract):
    """A script that is kept. `did` is E.164 where it is a phone number."""

    id: str
    did: str | None = None
    queue: str | None = None
    category: str | None = None
    language: str | None = None
    text: str
    updated_at: Timestamp

    @property
    def etag(self) -> str:
        """Another one for each other document."""
        return etag_of(self.to_json())


class ScriptList(Contract):
    items: list[Script]
