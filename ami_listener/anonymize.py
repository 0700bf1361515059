"""A recording without the people in it, so that it can go into a bug report. Pure: bytes to bytes.

What stays is what a call is made of: channels, contexts, queues, extensions, times, order. What changes, the same
thing always into the same: phone numbers (their last six digits, so that country, town and length stay), people's
names, addresses of machines, ids that others could look up. What is removed: secrets, and texts in which nobody knows
what they hold.

Two passes: the first learns who occurs, because a name is often spoken of before the header that gives it.
"""

import hashlib
import ipaddress
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ami_listener.replay import Timing

# An extension has fewer digits, and matters for understanding a call; whom it belongs to is known inside only.
_NUMBER_MIN = 7
# The digits that are replaced. Country and town before them stay, so a number remains a number of its kind, in every
# way of writing it: +7900…, 8900… and 900… of one subscriber end alike and are replaced alike.
_TAIL = 6
# E.164 has no more digits; in a longer run a whole number could stand before the last six.
_RUN_MAX = 15
# Replacements are drawn from a million; with more numbers than this, drawing one that is free would take ever longer.
NUMBERS_MAX = 400_000
# Names are kept in memory between the passes, some 200 bytes each.
NAMES_MAX = 400_000
# A longer line is nothing that the listener reads (WireLimits.line); it is masked without being looked at.
LINE_MAX = 1 << 16
# Keys that choose in menus stay, as they say where a call goes; from the next one on it may be a number or a PIN.
_KEYS_KEPT = 3
# Channels whose keys are counted: more than are in menus at once.
_KEYPADS_MAX = 10_000

# fmt: off
_NAME_HEADERS = re.compile(r"(?:CallerIDName|ConnectedLineName|MemberName|CallerName|CNAM)$", re.IGNORECASE)
_SECRET_HEADERS = frozenset({
    "secret", "password", "md5secret", "key", "challenge", "receivedchallenge", "expectedresponse", "response-digest",
    "receivedhash", "cookie", "authtype", "digest", "token",
})
_ID_HEADERS = frozenset({"actionid", "callid", "priorcallid", "call-id", "sipcallid", "accountid", "sessionid"})
# Times that look like numbers.
_TIME_HEADERS = frozenset({
    "timestamp", "eventtv", "sessiontv", "logintime", "lastpause", "lastcall", "starttime", "answertime", "endtime",
    "corestartupdate", "corestartuptime", "sentntp", "ssrc",
})
# What these hold is text of any kind.
_TEXT_HEADERS = frozenset({"output", "description", "body", "userfield", "data", "lastdata", "label"})
# What a call is made of: a queue called like somebody stays what it is.
_STRUCTURE = re.compile(
    r"(?:^Event|^Response|^Privilege|Channel|ChannelState|ChannelStateDesc|Context|Exten|Extension|Queue|Uniqueid|"
    r"Linkedid|Language|Priority|^Application|^Variable|^UserEvent|Interface|^Location|DialString|DialStatus|"
    r"^Bridge\w+|^Reason|^Direction|^Status|^Device|^State|^Endpoint|^Result|^Cause)$",
    re.IGNORECASE,
)
# Headers that every event of a channel has; the others of a UserEvent are the dialplan's own.
_USUAL = frozenset({
    "event", "privilege", "channel", "channelstate", "channelstatedesc", "calleridnum", "calleridname",
    "connectedlinenum", "connectedlinename", "language", "accountcode", "context", "exten", "priority", "uniqueid",
    "linkedid", "userevent",
})
# Variables of Asterisk's own, whose values are words, channels and numbers.
_KNOWN_VARIABLES = re.compile(
    r"^_*(?:DIALSTATUS|DIALEDPEERN|DIALEDTIME|ANSWEREDTIME|BRIDGEPEER|BRIDGEPVTCALLID|QUEUESTATUS|QUEUEPOSITION|"
    r"QUEUEHOLDTIME|QUEUEJOINTIME|QUEUENAME|QEHOLDTIME|QEORIGINALPOS|QUEUE_|MEMBERINTERFACE|MEMBERCALLS|"
    r"MEMBERLASTCALL|MEMBERPENALTY|MEMBERDYNAMIC|MEMBERREALTIME|HANGUPCAUSE|RTPAUDIOQOS|SIPCALLID|SIPDOMAIN|SIPURI|"
    r"PLAYBACKSTATUS|BACKGROUNDSTATUS|READSTATUS|TRANSFER_CONTEXT|FORCE_CLOSED|FROM_QUEUE|BLINDTRANSFER|"
    r"ATTENDEDTRANSFER|MIXMONITOR_FILENAME|DIALEDPEERNAME|AGENT|LOCALSTATIONID|PARKINGSLOT|PARKEDAT|CHANNEL|EXTEN|"
    r"CONTEXT|MACRO_|ARG\d|GOSUB_|LOCAL\()"
)
# Applications whose arguments are channels, contexts, numbers and file names. Others (Set, NoOp, UserEvent, System …)
# are given whatever the dialplan's author liked.
_KNOWN_APPLICATIONS = frozenset({
    "dial", "appdial", "appdial2", "queue", "appqueue", "answer", "goto", "gotoif", "hangup", "wait", "waitexten",
    "playback", "background", "musiconhold", "mixmonitor", "confbridge", "park", "parkedcall", "pickup", "transfer",
    "busy", "congestion", "ringing", "progress", "bridge", "read", "stasis", "return",
})
# Names that are no people.
_NO_NAME = frozenset({"", "<unknown>", "unknown", "anonymous", "<none>", "unavailable", "restricted", "private"})
# fmt: on

_TIME = re.compile(r"[-\d:.+TZ ]*")
_HEADER = re.compile(r"([A-Za-z0-9_.()-]{1,64})(: *)(.*)", re.DOTALL)
_SECRET_VARIABLE = re.compile(r"pass|secret|token|pin\b|key|auth", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"\w+")
_MASK = bytes(120 if chr(b).isalnum() or b > 127 else b for b in range(256))  # 120 is "x"

# What is looked for in a value, in this order at each place.
_TOKEN = re.compile(
    r"(?P<stays>"
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"  # a bridge
    r"|(?<!\d)[12]\d{9}\.\d+"  # a Uniqueid, a moment
    r"|(?<!\d)\d{4}-\d\d-\d\d[T ]\d\d:\d\d"  # a date with its time
    r"|(?<=-)00[0-9a-f]{6}(?![0-9A-Za-z])"  # the tail of a channel's name
    r"|(?<![\d.])\d{1,6}\.\d{6}(?![\d.])"  # a figure of the sound's quality
    r"|(?<=-)(?=[0-9]*[a-f])[0-9a-f]{8}(?![0-9A-Za-z])"
    r")"
    r"|(?P<uri>\bsips?:[^\s,;<>\"|)&]+)"
    r"|(?P<mac>\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b)"
    r"|(?P<ip6>(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:]))"
    r"|(?P<ip>(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]))"
    r"|(?P<number>\d{7,}|(?<![\w/.@-])\+?\(?\d(?:[ ().-]{0,3}\d){6,14}(?!\d))"
)


# Most values are words; these are quicker to look for than the tokens, and in each token there is one of them.
_MAYBE = re.compile(r"\d[\d ().-]{5}|sips?:|:.{0,4}:")
_MAYBE_NUMBER = re.compile(rb"\d[\d ().-]{5}")


class TooMuch(Exception):
    """There are more people in the recording than can be told apart."""


@dataclass(slots=True)
class People:
    """Who occurs in a recording: the first pass.

    names: as they were written, in the order they came. tails: the last digits of every number.
    """

    names: dict[str, None] = field(default_factory=dict)
    tails: set[str] = field(default_factory=set)

    def see(self, lines: Iterable[bytes]) -> Iterator[int]:
        """Learn from the lines of a recording; yields the size of each. Raises TooMuch."""
        for line in lines:
            if len(line) < LINE_MAX:
                self._line(line)
            yield len(line)

    def _line(self, line: bytes) -> None:
        header = _HEADER.fullmatch(_text(line.rstrip(b"\r\n")))
        if header is not None and _is_person(header[1], header[3]):
            self.names.setdefault(header[3])
            if len(self.names) > NAMES_MAX:
                raise TooMuch(f"There are more than {NAMES_MAX} names in it. Cut it into smaller pieces.")
        if _MAYBE_NUMBER.search(line) is None:
            return
        for found in _TOKEN.finditer(_text(line)):
            if found["number"] or found["uri"]:
                for run in re.findall(r"\d{7,}", re.sub(r"[ ().-]", "", found[0])):
                    self.tails.add(run[-_TAIL:])
        if len(self.tails) > NUMBERS_MAX:
            raise TooMuch(f"There are more than {NUMBERS_MAX} numbers in it. Cut it into smaller pieces.")


class Anonymizer:
    """The second pass. The same input gives the same output within one run and another one in the next.

    people: of the first pass. replaced: how many times each kind of thing was replaced.
    key: at least 16 random bytes; whoever has it can undo the replacing of numbers, so throw it away.
    """

    def __init__(self, people: People, key: bytes) -> None:
        self.replaced: Counter[str] = Counter()
        self._key = key
        self._taken = set(people.tails)  # no replacement is another's true number
        self._tails: dict[str, str] = {}
        self._names = {name: f"Person {n}" for n, name in enumerate(people.names, 1)}
        self._by_word: dict[str, list[str]] = {}
        for name in sorted(self._names, key=len, reverse=True):
            if (word := _WORD.search(name)) is not None:
                self._by_word.setdefault(word[0], []).append(name)
        self._keys: OrderedDict[str, int] = OrderedDict()  # Uniqueid → keys pressed so far
        self._fields: dict[str, str] = {}  # of this message, what later lines depend on

    def lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Each line of a recording (with its line end) as it may be shown. A line without its end is the beginning
        of a longer one."""
        whole = True
        for line in lines:
            if not whole or len(line) >= LINE_MAX:
                self.replaced["long lines"] += 1
                yield line.translate(_MASK)
            else:
                yield self._line(line)
            whole = line.endswith(b"\n")

    def text(self, value: str) -> str:
        """A value with its names, numbers and addresses replaced."""
        return self.plain(self._with_names(value))

    def plain(self, value: str) -> str:
        """A value with its numbers and addresses replaced, names left."""
        return _TOKEN.sub(self._token, value) if _MAYBE.search(value) else value

    # ---- one line ------------------------------------------------------------------------------------------------

    def _line(self, line: bytes) -> bytes:
        body = line.rstrip(b"\r\n")
        end = line[len(body) :]
        if not body:
            self._fields.clear()
            return line
        if body.startswith(b"Asterisk Call Manager/"):
            return line
        header = _HEADER.fullmatch(_text(body))
        if header is None or (
            self._fields.get("response") == "Follows" and header[1] not in ("Privilege", "ActionID")
        ):
            # A command's output, garbage: nobody knows what is in it.
            self.replaced["other texts"] += 1
            return body.translate(_MASK) + end
        name, colon, value = header.groups()
        lower = name.lower()
        if lower in ("event", "response", "variable", "application", "uniqueid"):
            self._fields[lower] = value
        return f"{name}{colon}{self._value(name, lower, value)}".encode("utf-8", "surrogateescape") + end

    def _value(self, name: str, lower: str, value: str) -> str:
        if not value:
            return value
        if lower in _SECRET_HEADERS:
            return self._count("secrets", "removed")
        if lower in _TIME_HEADERS and _TIME.fullmatch(value):
            return value
        if _is_person(name, value):
            return self._person(value)
        if lower in _ID_HEADERS:
            return self._id(value)
        if lower == "digit":
            return self._digit(value)
        if lower in _TEXT_HEADERS:
            return self._masked(value)
        if lower == "value" and "variable" in self._fields:
            return self._variable(self._fields["variable"], value)
        if lower.startswith("chanvariable") or (lower == "variable" and "=" in value):
            variable, _, held = value.partition("=")
            return f"{variable}={self._variable(variable, held)}"
        if lower == "appdata" and self._fields.get("application", "").lower() not in _KNOWN_APPLICATIONS:
            return self._masked(value)
        if self._fields.get("event") == "UserEvent" and lower not in _USUAL:
            return self._masked(value)
        return self.plain(value) if _STRUCTURE.search(name) else self.text(value)

    def _variable(self, name: str, value: str) -> str:
        if not value:
            return value
        if _SECRET_VARIABLE.search(name):
            return self._count("secrets", "removed")
        if name.upper().endswith("CALLID"):
            return self._id(value)
        return self.text(value) if _KNOWN_VARIABLES.match(name) else self._masked(value)

    def _digit(self, key: str) -> str:
        """A key is two events, DTMFBegin and DTMFEnd; it counts when it ends."""
        uniqueid = self._fields.get("uniqueid", "")
        place = self._keys.get(uniqueid, 0) + 1
        if self._fields.get("event") == "DTMFEnd":
            self._keys[uniqueid] = place
            self._keys.move_to_end(uniqueid)
            if len(self._keys) > _KEYPADS_MAX:
                self._keys.popitem(last=False)
        if place <= _KEYS_KEPT or not key.isdigit():
            return key
        return self._count("keys pressed", "0")

    # ---- one thing -----------------------------------------------------------------------------------------------

    def _person(self, value: str) -> str:
        # One that the first pass did not see (another file) is nobody in particular.
        return self._count("names", self._names.get(value, "Person"))

    def _with_names(self, value: str) -> str:
        if not self._by_word:
            return value
        out, at = [], 0
        for word in _WORD.finditer(value):
            if word.start() < at:
                continue
            for name in self._by_word.get(word[0], ()):
                begin = word.start() - _WORD.search(name).start()  # type: ignore[union-attr]
                if begin >= at and value.startswith(name, begin):
                    out += [value[at:begin], self._person(name)]
                    at = begin + len(name)
                    break
        return "".join(out) + value[at:] if out else value

    def _token(self, found: re.Match[str]) -> str:
        text = found[0]
        if found["stays"]:
            return text
        if found["uri"]:
            return self._uri(text)
        if found["mac"]:
            digits = self._hash(text.lower(), 10)
            return self._count("addresses", "02:" + ":".join(re.findall("..", digits)))
        if found["ip"] or found["ip6"]:
            return self._address(text)
        return self._number(text)

    def _number(self, text: str) -> str:
        digits = _DIGIT.findall(text)
        if len(digits) < _NUMBER_MIN:
            return text
        if len(digits) > _RUN_MAX:
            new = "".join(digits[:3]) + "".join(
                str(int(c, 16) % 10) for c in self._hash(text, len(digits) - 3)
            )
        else:
            new = "".join(digits[:-_TAIL]) + self._tail("".join(digits[-_TAIL:]))
        rest = iter(new)
        return self._count("numbers", _DIGIT.sub(lambda _: next(rest), text))

    def _tail(self, tail: str) -> str:
        new = self._tails.get(tail)
        draw = 0
        while new is None:
            drawn = f"{int(self._hash(f'number {draw} {tail}'), 16) % 10**_TAIL:0{_TAIL}}"
            if drawn not in self._taken:
                self._taken.add(drawn)
                new = self._tails[tail] = drawn
            draw += 1
        return new

    def _uri(self, text: str) -> str:
        scheme, _, rest = text.partition(":")
        user, at, host = rest.rpartition("@")
        machine, colon, port = host.partition(":")
        user = self.plain(user)
        try:
            ipaddress.ip_address(machine)
            machine = self._address(machine)
        except ValueError:
            if not at and machine.lstrip("+").isdigit():
                machine = self._number(machine)
            elif machine:
                machine = self._count("addresses", f"host-{self._hash(machine)[:8]}.invalid")
        return f"{scheme}:{user}{at}{machine}{colon}{port}"

    def _address(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text
        if address.is_loopback or address.is_unspecified:
            return text
        number = int(self._hash(text)[:6], 16)
        if address.version == 4:
            return self._count("addresses", str(ipaddress.ip_address((10 << 24) + number)))
        return self._count("addresses", str(ipaddress.ip_address((0x20010DB8 << 96) + number)))

    def _id(self, value: str) -> str:
        """Ids of other systems' making often hold numbers, machines or logins."""
        return self._count("ids", f"id-{self._hash(value)[:12]}")

    def _masked(self, value: str) -> str:
        new = _LETTER.sub("x", self.text(value))
        return self._count("other texts", new) if new != value else value

    def _hash(self, value: str, size: int = 32) -> str:
        """Hexadecimal digits, `size` of them, that only this run gives for this value."""
        seed = self._key + value.encode("utf-8", "surrogateescape")
        return hashlib.shake_128(seed).hexdigest((size + 1) // 2)[:size]

    def _count(self, kind: str, new: str) -> str:
        self.replaced[kind] += 1
        return new


def retimed(messages: Iterable[tuple[int, int]], timing: Iterable[Timing]) -> Iterator[Timing]:
    """The timing of a recording whose lines have changed their length.

    messages: (offset before, offset after) at the end of each message, growing. A read that ended inside a message
    ends at the message before it: no message is complete earlier or later than it was.
    """
    ends = iter(messages)
    upcoming = next(ends, None)
    new = 0
    for ms, end in timing:
        while upcoming is not None and upcoming[0] <= end:
            new = upcoming[1]
            upcoming = next(ends, None)
        yield ms, new


def _text(line: bytes) -> str:
    """Any bytes as text that gives the same bytes again."""
    return line.decode("utf-8", "surrogateescape")


def _is_person(header: str, value: str) -> bool:
    """Does this header hold a person's name (or what the PBX took for one)? An extension, a number or an interface
    (`PJSIP/101`) is none."""
    if not _NAME_HEADERS.search(header) or value.lower() in _NO_NAME:
        return False
    return _LETTER.search(value) is not None and not re.match(r"^[A-Za-z0-9]+/\S+$", value)
