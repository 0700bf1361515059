"""A session without socket and Redis: frames in, frames out; and the files that say which."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from push_gateway.channels import Identity
from push_gateway.codes import CLOSE_BAD_REQUEST, INTERNAL
from push_gateway.effects import End, GiveReceipt, Join, Leave, Open, Ping, Question, ReadHistory, Send
from push_gateway.limits import Limits
from push_gateway.protocol import BadFrame, parse_frame
from push_gateway.session import Session
from shared.push import ChannelState, Position, Publication
from shared.security import TokenError
from shared.token_keys import UnknownKeyError

WALL = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)
NOW_AT = ChannelState(Position("e1", 7), (b'{"call_id":"c"}',), recovered=True, missed=())


def authenticate(token: str) -> Identity:
    """`good;<login>;<role>;<channel>,…;<seconds>` is a token, for ten minutes if nothing else is said; `expired` was
    one; the rest is forged."""
    if token == "unknown-key":
        raise UnknownKeyError("the token is signed with a key that is not known")
    if token == "expired":
        raise TokenError("the token has expired", expired=True)
    good, login, role, channels, seconds, *_ = [*token.split(";"), "", "", "", ""]
    if good != "good":
        raise TokenError("the token is not valid")
    return Identity(
        login, role or "agent", float(seconds or 600), tuple(channels.split(",")) if channels else ()
    )


class Transcript:
    """A session whose questions to Redis are answered with `state` and `present`."""

    def __init__(
        self, state: ChannelState = NOW_AT, away: bool = False, limits: Limits | None = None
    ) -> None:
        self.now = 0.0
        self.state = state
        self.away = away
        self.present: dict[str, str] = {}
        self.left: list[str] = []
        self.receipts: list[GiveReceipt] = []
        self.asked: list[Question] = []
        self.limits = limits or Limits()
        self.session = Session("client-1", "node-1", authenticate, self.limits, self.now)

    def say(self, *frames: dict[str, Any]) -> list[Any]:
        """What comes back: messages as objects, a close as `Close`."""
        return self.say_text("\n".join(orjson.dumps(frame).decode() for frame in frames))

    def say_text(self, text: str) -> list[Any]:
        try:
            commands = parse_frame(text, self.limits.frame_chars, self.limits.frame_lines)
        except BadFrame:
            return [CLOSE_BAD_REQUEST]  # what the connection does with it
        out: list[Any] = []
        for command in commands:
            out += self.do(self.session.command(command, self.now))
        return out

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass, ticking whenever the session wants to."""
        end, out = self.now + seconds, []
        while self.session.deadline <= end:
            self.now = self.session.deadline
            effects = self.session.tick(self.now)
            out += self.do(effects)
            if any(isinstance(effect, End) for effect in effects):
                break
        self.now = end
        return out

    def connect(self, **params: Any) -> Any:
        (reply,) = self.say({"id": 1, "connect": {"token": "good;101", **params}})
        return reply

    def do(self, effects: list[Any]) -> list[Any]:
        out: list[Any] = []
        for effect in effects:
            match effect:
                case Send(frame):
                    out.append(orjson.loads(frame))
                case Ping():
                    out.append({})
                case End(close):
                    out.append(close)
                case Leave(channel):
                    self.left.append(channel)
                case GiveReceipt():
                    self.receipts.append(effect)
                case question:
                    self.asked.append(question)
                    out += self.do(self._answer(question))
        return out

    def _answer(self, question: Question) -> list[Any]:
        if self.away:
            return self.session.failed(question, INTERNAL)
        if isinstance(question, Open):
            return self.session.opened(question, self.state, self.now, WALL)
        if isinstance(question, Join):
            return self.session.joined(question, self.state)
        if isinstance(question, ReadHistory):
            missed = self.state.missed if question.limit else ()
            return self.session.history_read(question, self.state.position, missed)
        return self.session.presence_read(question, self.present)


@dataclass
class Scene:
    """One transcript of a file: its name, and its lines as (mark, text)."""

    name: str
    lines: list[tuple[str, str]] = field(default_factory=list)


def scenes(folder: Path) -> Iterator[tuple[str, Scene]]:
    """Every scene of every file: (file's name, scene).

    A file is read line by line: `==` names a scene, `#` is a remark, and

        set    how things are: `connected`, `token good;102;supervisor`, `away`, `back`, `state e2 9 missed 8 9`,
               `lost-history`, `limits channels=2`, `present c1=101 c2=102`, `lost notices`
        >      a frame of the tab, as text; ⏎ is a line break in it
        <      a message to it, exactly;  <~ one that has at least this
        wait   seconds that pass
        !      the close: code, reason, and `comes back` or `stays away`
    """
    for path in sorted(folder.glob("*.txt")):
        scene: Scene | None = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            mark, _, text = line.strip().partition(" ")
            if not mark or mark == "#":
                continue
            if mark == "==":
                if scene is not None:
                    yield path.stem, scene
                scene = Scene(text.strip())
            elif scene is None or mark not in ("set", ">", "<", "<~", "wait", "!"):
                raise ValueError(f"{path.name}:{number}: {line}")
            else:
                scene.lines.append((mark, text.strip()))
        if scene is not None:
            yield path.stem, scene


def set_up(transcript: Transcript, text: str) -> None:
    """Carry out a `set` line."""
    what, *words = text.split()
    match what:
        case "connected":
            assert "connect" in transcript.connect(token=words[0] if words else "good;101")
        case "away" | "back":
            transcript.away = what == "away"
        case "state":
            epoch, offset, *missed = words
            publications = tuple(Publication(int(n), b'{"n":%s}' % n.encode()) for n in missed[1:])
            transcript.state = ChannelState(Position(epoch, int(offset)), (), True, publications)
        case "lost-history":
            transcript.state = ChannelState(transcript.state.position, (), False, ())
        case "present":
            transcript.present = dict(word.split("=") for word in words)  # type: ignore[misc]
        case "limits":
            pass  # they are there from the beginning
        case _:
            raise ValueError(text)
