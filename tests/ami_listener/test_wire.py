"""The AMI wire: any cut of the bytes gives the same messages, and no bytes do harm."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ami_listener.message import AmiMessage
from ami_listener.tracker.events import WANTED
from ami_listener.wire import (
    ACTION_LINE_MAX,
    AmiFramer,
    ProblemKind,
    UnsafeValueError,
    WireLimits,
    encode_action,
)

TRACES = sorted((Path(__file__).parent.parent / "traces" / "22").glob("*.ami"))
SMALL = next(p for p in TRACES if p.stem == "cyrillic_caller_name").read_bytes()[:6000]


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def read(data: bytes, size: int = 1 << 16, wanted: frozenset[str] | None = None) -> list[AmiMessage]:
    framer = AmiFramer(wanted)
    messages = [m for chunk in cut(data, size) for m in framer.feed(chunk)]
    assert framer.problems.total == 0
    return messages


def by_the_book(data: bytes) -> list[dict[str, str]]:
    """What the bytes say, read in the slowest and plainest way; a repeated header keeps its first value."""
    packets = []
    for packet in data.decode().split("\r\n\r\n")[:-1]:
        headers: dict[str, str] = {}
        for line in packet.split("\r\n"):
            if ": " in line:
                name, _, value = line.partition(": ")
                headers.setdefault(name, value)
        packets.append(headers)
    return packets


@pytest.mark.parametrize("path", TRACES, ids=lambda p: p.stem)
def test_every_recorded_packet_is_read_as_it_was_written(path: Path) -> None:
    data = path.read_bytes()
    assert read(data) == by_the_book(data)


@pytest.mark.parametrize("path", TRACES[::9], ids=lambda p: p.stem)
@pytest.mark.parametrize("size", [1, 7, 1460])
def test_cutting_changes_nothing(path: Path, size: int) -> None:
    data = path.read_bytes()[: 2000 * size]  # byte by byte a part is enough
    assert read(data, size) == read(data)
    assert read(data, size, WANTED) == read(data, wanted=WANTED)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(SMALL)), max_size=12))
def test_any_cutting_changes_nothing(places: list[int]) -> None:
    framer = AmiFramer()
    edges = [0, *sorted(places), len(SMALL)]
    messages = [m for a, b in itertools.pairwise(edges) for m in framer.feed(SMALL[a:b])]
    assert messages == read(SMALL)


def test_wanted_leaves_out_the_rest_and_nothing_else() -> None:
    for path in TRACES:
        data = path.read_bytes()
        expected = [m for m in read(data) if m.event in WANTED or ("Response" in m and "Event" not in m)]
        assert read(data, wanted=WANTED) == expected


@pytest.mark.parametrize("size", [1, 50, 1 << 16])
def test_lines_that_end_in_a_bare_lf_are_read_too(size: int) -> None:
    assert read(SMALL.replace(b"\r\n", b"\n"), size) == read(SMALL)


def test_messages_of_both_kinds_of_line_ends_mix() -> None:
    data = b"Event: A\nX: 1\n\nEvent: B\r\nX: 2\r\n\r\nEvent: C\nX: 3\n\nEvent: D\r\n\r\n"
    for size in (1, 5, 100):
        assert [m.event for m in read(data, size)] == ["A", "B", "C", "D"]


def test_blank_lines_between_messages_are_nothing() -> None:
    data = b"\r\n\r\n\r\nEvent: A\r\n\r\n\r\n\r\n\r\nEvent: B\r\n\r\n"
    assert [m.event for m in read(data)] == ["A", "B"]
    assert [m.event for m in read(data, 1)] == ["A", "B"]


def test_bytes_that_are_no_utf8_are_replaced_not_dropped() -> None:
    (event,) = read(b"Event: A\r\nCallerIDName: \xcf\xd0\xc8\r\n\r\n")
    assert event["CallerIDName"] == "���"


def test_answers_always_come_and_items_of_a_list_when_they_are_expected() -> None:
    framer = AmiFramer(frozenset({"Hangup"}))
    answer = b"Response: Success\r\nActionID: 1\r\n\r\n"
    item = b"Event: CoreShowChannel\r\nChannel: x\r\nActionID: 1\r\n\r\n"
    news = b"Event: VarSet\r\nVariable: x\r\n\r\n"
    assert [m.get("Response") for m in framer.feed(answer + item + news)] == ["Success"]
    framer.answers_expected = True
    assert [m.event for m in framer.feed(item + news + item)] == ["CoreShowChannel"] * 2
    framer.answers_expected = False
    assert framer.feed(item) == []


def test_the_output_of_a_command_is_a_list_of_lines() -> None:
    (new,) = read(
        b"Response: Success\r\nMessage: Command output follows\r\nOutput: a\r\nOutput: \r\nOutput: b: c\r\n\r\n"
    )
    assert new.all("Output") == ["a", "", "b: c"]
    (old,) = read(
        b"Response: Follows\r\nPrivilege: Command\r\nActionID: 7\r\na\nb: c\n\n--END COMMAND--\r\n\r\n"
    )
    assert old["ActionID"] == "7"
    assert old.all("Output") == ["a", "b: c", ""]


class TestHarm:
    """Bytes that no PBX should send."""

    limits = WireLimits(message=2000, line=500, headers=20)

    @settings(deadline=None)
    @given(st.binary(max_size=300), st.sampled_from([1, 3, 1000]))
    def test_garbage_never_raises_and_the_next_message_is_read(self, garbage: bytes, size: int) -> None:
        framer = AmiFramer(limits=self.limits)
        for chunk in cut(garbage + b"\r\n\r\n\n\nEvent: Hangup\r\nCause: 16\r\n\r\n", size):
            messages = framer.feed(chunk)
        assert messages[-1] == {"Event": "Hangup", "Cause": "16"}

    @pytest.mark.parametrize("size", [1, 100, 100_000])
    @pytest.mark.parametrize(
        ("packet", "kind"),
        [
            (b"Event: A\r\n" + b"Header: value\r\n" * 500, ProblemKind.OVERSIZED),
            (b"Event: A\r\nName: " + b"x" * 600 + b"\r\n", ProblemKind.LONG_LINE),
            (b"Event: A\r\n" + b"H: 1\r\n" * 30, ProblemKind.MANY_HEADERS),
            (b"x" * 5000, ProblemKind.OVERSIZED),
            (b"\x00\xff no header at all", ProblemKind.GARBAGE),
            (b"GET / HTTP/1.1\r\nHost: x\r\n", ProblemKind.GARBAGE),
        ],
    )
    def test_what_is_too_much_is_skipped_whole_and_counted(
        self, packet: bytes, kind: ProblemKind, size: int
    ) -> None:
        framer = AmiFramer(limits=self.limits)
        before, after = b"Event: Before\r\n\r\n", b"Event: After\r\n\r\n"
        messages = [
            m for chunk in cut(before + packet + b"\r\n\r\n" + after, size) for m in framer.feed(chunk)
        ]
        assert [m.event for m in messages] == ["Before", "After"]
        assert set(framer.problems.counts) == {kind}
        assert framer.problems.recent

    def test_the_list_of_problems_does_not_grow(self) -> None:
        framer = AmiFramer()
        framer.feed(b"garbage\r\n\r\n" * 1000)
        assert framer.problems.total >= 1000
        assert len(framer.problems.recent) < 50

    def test_ever_new_event_names_do_not_fill_the_memory(self) -> None:
        framer = AmiFramer(frozenset({"Hangup"}))
        for n in range(5000):
            assert framer.feed(b"Event: Name%d\r\n\r\n" % n) == []
        assert len(framer._known) <= 1001


class TestEncodeAction:
    def test_headers_keep_their_order_and_repeat(self) -> None:
        packet = encode_action([("Action", "Originate"), ("Variable", "a=1"), ("Variable", "имя=Пётр")])
        assert packet == "Action: Originate\r\nVariable: a=1\r\nVariable: имя=Пётр\r\n\r\n".encode()

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=30)), min_size=1, max_size=5))
    def test_whatever_is_sent_says_what_was_meant(self, fields: list[tuple[str, str]]) -> None:
        try:
            packet = encode_action([("Event", "X"), *fields])
        except UnsafeValueError:
            return
        (message,) = read(packet)
        for name, value in fields:
            assert value in message.all(name)

    def test_a_line_longer_than_asterisk_reads_is_refused(self) -> None:
        encode_action([("Data", "x" * (ACTION_LINE_MAX - 6))])
        with pytest.raises(UnsafeValueError, match="too long"):
            encode_action([("Data", "x" * (ACTION_LINE_MAX - 5))])

    def test_nothing_is_no_action(self) -> None:
        with pytest.raises(UnsafeValueError):
            encode_action([])


class TestVariables:
    """VarSets are told by their variable before anything of them is parsed."""

    WANTED = frozenset({"VarSet", "Hangup"})
    VARIABLES = frozenset({"CONTRACT", "MIXMONITOR_FILENAME"})

    def values(self, data: bytes, size: int = 1 << 16) -> list[str | None]:
        framer = AmiFramer(self.WANTED, variables=self.VARIABLES)
        return [m.get("Value") for chunk in cut(data, size) for m in framer.feed(chunk)]

    def varset(self, name: str, value: str, eol: str = "\r\n") -> bytes:
        lines = ["Event: VarSet", "Privilege: dialplan,all", f"Variable: {name}", f"Value: {value}"]
        return (eol.join(lines) + eol * 2).encode()

    @pytest.mark.parametrize("eol", ["\r\n", "\n"])
    @pytest.mark.parametrize("size", [1, 7, 1 << 16])
    def test_only_those_that_are_named(self, size: int, eol: str) -> None:
        names = ["CONTRACT", "DIALSTATUS", "__CONTRACT", "CONTRACT2", "XCONTRACT", "", "MIXMONITOR_FILENAME"]
        data = b"".join(self.varset(name, name, eol) for name in names * 2)
        assert self.values(data, size) == ["CONTRACT", "__CONTRACT", "MIXMONITOR_FILENAME"] * 2

    def test_a_varset_without_a_variable(self) -> None:
        assert self.values(b"Event: VarSet\r\n\r\nEvent: VarSet\r\nVariable: CONTRACT\r\n\r\n") == [None]

    @pytest.mark.parametrize("path", TRACES[::9], ids=lambda p: p.stem)
    @pytest.mark.parametrize("size", [97, 65536])
    def test_the_recordings_as_if_filtered_afterwards(self, path: Path, size: int) -> None:
        data = path.read_bytes()
        expected = [
            m["Value"] for m in read(data) if m.event == "VarSet" and m["Variable"] == "MIXMONITOR_FILENAME"
        ]
        assert [value for value in self.values(data, size) if value is not None] == expected

    def test_without_a_list_every_varset_comes(self) -> None:
        framer = AmiFramer(self.WANTED)
        assert len(framer.feed(self.varset("ANY", "1"))) == 1
