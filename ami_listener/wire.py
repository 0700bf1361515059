"""The AMI wire: bytes to messages and actions to bytes. Pure: no socket, no clock.

Framing is done on bytes and a whole message is decoded at once, so a letter split over two TCP segments stays a
letter. The first line decides: an event nobody wants is dropped before anything of it is decoded.
"""

import unicodedata
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from ami_listener.message import AmiMessage

_END = b"\r\n\r\n"
_LF_END = b"\n\n"
_EVENT = b"Event: "
_VARSET = "VarSet"
_VARIABLE = b"\r\nVariable: "
_FOLLOWS = b"Response: Follows"
_ACTION_ID = b"\r\nActionID: "
_BANNER = b"Call Manager/"
_END_COMMAND = "--END COMMAND--"

# Asterisk has some 170 event names; more than this many first lines is noise, not a PBX.
_KNOWN_LINES_MAX = 1000
# Problems are for a person to read; the newest few tell what is going on, the counts tell how much.
_RECENT_PROBLEMS = 20
# Asterisk reads an action line into a buffer of 1025 bytes (2048 since 20) and throws away what is longer.
ACTION_LINE_MAX = 1024


class _ByVariable(Enum):
    """Deliver, if the event's variable is one of those wanted. True as a condition."""

    YES = "by variable"


_BY_VARIABLE = _ByVariable.YES


class UnsafeValueError(ValueError):
    """An action's header would say something else to the PBX than it says here; nothing of it was sent."""


class ProblemKind(StrEnum):
    """What can be wrong with the bytes of a PBX."""

    OVERSIZED = "oversized"
    LONG_LINE = "long_line"
    MANY_HEADERS = "many_headers"
    GARBAGE = "garbage"


@dataclass(slots=True)
class Problems:
    """What was wrong with the stream so far: counts for ever, descriptions of the newest."""

    counts: Counter[ProblemKind] = field(default_factory=Counter)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=_RECENT_PROBLEMS))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def note(self, kind: ProblemKind, sentence: str) -> None:
        self.counts[kind] += 1
        self.recent.append(sentence)


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What one message may hold. Real ones: some 20 headers, 0.5 kB; lists of channel variables reach a few kB.

    message: bytes; generous, as a command's output is one message too.
    line: bytes; Asterisk's own buffer for a channel variable is 4 kB, a UserEvent may be longer.
    headers: number of lines.
    """

    message: int = 1 << 20
    line: int = 1 << 16
    headers: int = 4096


_DEFAULT_LIMITS = WireLimits()


class AmiFramer:
    """Cuts a byte stream into messages.

    wanted: names of the events to deliver; None delivers all. Responses are always delivered.
    variables: if not empty and VarSet is wanted, only VarSets of these variables (a leading `_` does not count). They
        are more than half of what a PBX says, so the others are dropped as unparsed as if VarSet were not wanted.
    banner: the greeting line (`Asterisk Call Manager/11.0.0`) once it was seen.
    answers_expected: while True, events that carry an ActionID are delivered as well: the items of the list an
        action asked for. Costs one search in each unwanted event, so leave it False otherwise.
    problems: what was skipped, and why. Nothing in the stream raises.
    """

    def __init__(
        self,
        wanted: frozenset[str] | None = None,
        limits: WireLimits = _DEFAULT_LIMITS,
        variables: frozenset[str] = frozenset(),
    ) -> None:
        self.banner: str | None = None
        self.answers_expected = False
        self.problems = Problems()
        self._wanted = wanted
        self._limits = limits
        self._pending = bytearray()  # a message whose end has not come yet
        self._skipping = False  # inside an oversized message; `_pending` holds its last bytes only
        self._variables = frozenset(name.encode() for name in variables)
        # First line (with its CR) → deliver? Filled as names appear, so the usual event costs one look-up. For VarSet
        # its variable may decide; that is asked where the event would be parsed, so those dropped cost no more.
        self._known: dict[bytes, bool | _ByVariable] = {
            f"Event: {name}\r".encode(): self._choice(name) for name in wanted or ()
        }

    def feed(self, data: bytes) -> list[AmiMessage]:
        """Take the next bytes, of any length; the messages that end in them, in order."""
        out: list[AmiMessage] = []
        if self._pending:
            data = self._complete(data, out)
        parts = data.split(_END)
        rest = parts.pop()
        known, parse = self._known, self._parse
        for part in parts:
            deliver = known.get(part[: part.find(b"\n")])
            if deliver:
                if deliver is True or self._variable_wanted(part):
                    parse(part, out)
            elif deliver is None:
                self._unknown(part, out)
            elif self.answers_expected and _ACTION_ID in part:
                parse(part, out)
        if rest:
            self._keep(rest, out)
        return out

    def _complete(self, data: bytes, out: list[AmiMessage]) -> bytes:
        """Bring the pending message to its end; what follows it. Only new bytes are searched."""
        pending = self._pending
        searched = max(0, len(pending) - len(_END) + 1)
        pending += data
        end = pending.find(_END, searched)
        after = end + len(_END)
        if self._skipping or self._is_lf(pending):
            lf_end = pending.find(_LF_END, searched)
            if lf_end >= 0 and (end < 0 or lf_end < end):
                end, after = lf_end, lf_end + len(_LF_END)
        if end < 0:
            if self.banner is None and not self._skipping and _BANNER in pending[:64]:
                pending[:] = self._take_banner(bytes(pending))
            self._cap()
            return b""
        message, rest = bytes(pending[:end]), bytes(pending[after:])
        pending.clear()
        if self._skipping:
            self._skipping = False
        else:
            self._unknown(message, out)
        return rest

    def _keep(self, rest: bytes, out: list[AmiMessage]) -> None:
        """Hold back the bytes of an unfinished message; messages with bare LF may be complete in them."""
        if self._is_lf(rest):
            *parts, rest = rest.split(_LF_END)
            for part in parts:
                self._unknown(part, out)
        if _BANNER in rest[:64]:
            rest = self._take_banner(rest)
        self._pending += rest
        self._cap()

    def _cap(self) -> None:
        """Bound the memory of a message without end: it is skipped whole, whatever is still to come of it."""
        if self._skipping or len(self._pending) > self._limits.message:
            if not self._skipping:
                self._skipping = True
                self._oversized()
            del self._pending[: -len(_END) + 1]

    def _oversized(self) -> None:
        self.problems.note(
            ProblemKind.OVERSIZED,
            f"a message of more than {self._limits.message} bytes was skipped whole",
        )

    def _is_lf(self, data: bytes | bytearray) -> bool:
        """Does this message end its lines with a bare LF? Its first line tells."""
        eol = data.find(b"\n", 0, self._limits.line)
        return eol >= 0 and not data.startswith(b"\r", max(0, eol - 1))

    def _take_banner(self, data: bytes) -> bytes:
        """Cut the greeting off the front of a message; unchanged if its line is not complete yet."""
        line, newline, rest = data.partition(b"\n")
        if not newline or not line.lstrip().startswith(b"Asterisk"):
            return data
        self.banner = line.strip().decode("utf-8", "replace")
        return rest

    def _unknown(self, part: bytes, out: list[AmiMessage]) -> None:
        """A message whose first line was not seen before: an answer, a new event's name, the banner, garbage."""
        part = part.lstrip(b"\r\n")
        if _BANNER in part[:64]:
            part = self._take_banner(part + b"\r\n").strip(b"\r\n")
        if not part:
            return
        if self._is_lf(part):
            # The fast path cuts at CRLF CRLF only, so several of these may hang together.
            for piece in part.split(_LF_END):
                self._classify(piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), out)
        else:
            self._classify(part, out)

    def _classify(self, part: bytes, out: list[AmiMessage]) -> None:
        eol = part.find(b"\r\n")
        first = part if eol < 0 else part[:eol]
        if first.startswith(_EVENT):
            name = first[len(_EVENT) :].decode("utf-8", "replace")
            deliver = self._choice(name)
            if len(self._known) < _KNOWN_LINES_MAX and len(first) < 100:
                self._known[first + b"\r"] = deliver
            if not deliver and not (self.answers_expected and _ACTION_ID in part):
                return
            if deliver is _BY_VARIABLE and not self._variable_wanted(part):
                return
        self._parse(part, out, raw_body=first == _FOLLOWS)

    def _choice(self, name: str) -> "bool | _ByVariable":
        if self._wanted is not None and name not in self._wanted:
            return False
        return _BY_VARIABLE if name == _VARSET and self._variables else True

    def _variable_wanted(self, part: bytes) -> bool:
        """Is this VarSet about one of the variables? `__NAME`, which channels made of this one inherit, is NAME."""
        begin = part.find(_VARIABLE) + len(_VARIABLE)
        end = part.find(b"\r", begin)
        return (
            begin >= len(_VARIABLE)
            and part[begin : end if end >= 0 else None].lstrip(b"_") in self._variables
        )

    def _parse(self, part: bytes, out: list[AmiMessage], raw_body: bool = False) -> None:
        limits = self._limits
        if len(part) > limits.line:
            if len(part) > limits.message:
                self._oversized()
                return
            if max(map(len, part.split(b"\n"))) > limits.line:
                self.problems.note(
                    ProblemKind.LONG_LINE,
                    f"a message with a line of more than {limits.line} bytes was skipped",
                )
                return
        lines = part.decode("utf-8", "replace").split("\r\n")
        if len(lines) > limits.headers:
            self.problems.note(
                ProblemKind.MANY_HEADERS, f"a message with more than {limits.headers} headers was skipped"
            )
            return
        try:
            message = AmiMessage([line.split(": ", 1) for line in lines])  # type: ignore[misc]
        except ValueError:  # a line without a colon and a space
            message = self._parse_slowly(lines)
        else:
            if raw_body or len(message) != len(lines):  # a repeated header
                message = self._parse_slowly(lines)
        if "Event" not in message and "Response" not in message:
            self.problems.note(
                ProblemKind.GARBAGE, f"{len(part)} bytes that are neither an event nor an answer were skipped"
            )
            return
        # An event that was not named in the first line, or an item of an expected list, may be unwanted.
        unwanted = self._wanted is not None and "Event" in message and message["Event"] not in self._wanted
        if unwanted and not (self.answers_expected and "ActionID" in message):
            return
        out.append(message)

    def _parse_slowly(self, lines: list[str]) -> AmiMessage:
        message = AmiMessage()
        body = False
        for line in lines:
            if message.get("Response") == "Follows" and (body or ": " not in line or "\n" in line):
                # Before Asterisk 14 a command's output was the raw rest of its answer.
                body = True
                for output in line.split("\n"):
                    if output != _END_COMMAND:
                        message.add("Output", output)
                continue
            name, separator, value = line.partition(": ")
            if not separator:
                name, separator, value = line.partition(":")
            if separator and name:
                message.add(name, value)
            elif line:
                self.problems.note(
                    ProblemKind.GARBAGE, f"a line of {len(line)} characters that is no header was skipped"
                )
        return message


def encode_action(fields: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of one action, headers in the order given; a repeated name is a repeated header.

    Raises UnsafeValueError if a name or value holds a control character (a CR or LF would add headers or a whole
    second action), cannot be written as UTF-8, or makes a line longer than Asterisk reads.
    """
    lines = bytearray()
    for name, value in fields:
        if not name or ":" in name or " " in name or _unsafe(name):
            raise UnsafeValueError(f"{name!r} is no name of an AMI header: use letters, digits and hyphens.")
        unsafe = _unsafe(value)
        if unsafe:
            raise UnsafeValueError(
                f"The value of {name} holds the control character U+{ord(unsafe):04X}, which could add headers"
                " or a whole action. Remove it and send the action again."
            )
        line = f"{name}: {value}".encode()
        if len(line) > ACTION_LINE_MAX:
            raise UnsafeValueError(
                f"The value of {name} is too long: the line has {len(line)} bytes, and Asterisk drops lines of"
                f" more than {ACTION_LINE_MAX}. Shorten it."
            )
        lines += line + b"\r\n"
    if not lines:
        raise UnsafeValueError("An action needs at least one header.")
    return bytes(lines + b"\r\n")


def _unsafe(text: str) -> str | None:
    """The first character that must not be on the wire: controls (C0, DEL, C1), lone surrogates."""
    if text.isascii() and text.isprintable():
        return None
    return next((c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
