"""One AMI packet, parsed."""

from collections.abc import Iterable


class AmiMessage(dict[str, str]):
    """The headers of one AMI packet (event or response), names as the PBX writes them.

    A header that comes once is a plain item. One that is repeated (`ChanVariable`, `Variable`, `Output`) keeps
    its first value as the item and all of them, in order, in `all(name)`. Empty values are kept as "".
    """

    __slots__ = ("repeated",)

    def __init__(self, headers: Iterable[tuple[str, str]] | dict[str, str] = (), /, **more: str) -> None:
        super().__init__(headers, **more)
        self.repeated: dict[str, list[str]] | None = None

    @property
    def event(self) -> str:
        """The event's name, "" for a response."""
        return self.get("Event", "")

    def all(self, name: str) -> list[str]:
        """Every value of a header, in the order of the wire; [] if it was not there."""
        if self.repeated is not None and name in self.repeated:
            return self.repeated[name]
        return [self[name]] if name in self else []

    def add(self, name: str, value: str) -> None:
        """Append a header as the framer reads it; a second one of the same name makes it a list."""
        if name not in self:
            self[name] = value
            return
        if self.repeated is None:
            self.repeated = {}
        self.repeated.setdefault(name, [self[name]]).append(value)
