"""An anonymised recording gives the same calls and names nobody."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ami_listener.anonymize import Anonymizer, People, retimed
from ami_listener.replay import final_calls, read_timing, replay
from tests.ami_listener.tracker.recordings import FOLDER, NAMES, rules

KEY = b"0123456789abcdef"


def anonymize(data: bytes, key: bytes = KEY) -> tuple[bytes, Anonymizer]:
    lines = io.BytesIO(data).readlines()
    people = People()
    for _ in people.see(lines):
        pass
    work = Anonymizer(people, key)
    return b"".join(work.lines(lines)), work


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from leaves(item, (*path, str(n)))
    else:
        yield path, value


def mapped(path: tuple[str, ...], value: Any, work: Anonymizer) -> Any:
    """What an anonymised call should say where the original says `value`."""
    if not isinstance(value, str) or path[-1].endswith("at"):
        return value
    if path[0] in ("variables", "recording"):
        return work._masked(value)
    return work.text(value) if path == ("caller", "name") else work.plain(value)


@pytest.mark.parametrize("name", NAMES)
def test_the_calls_are_the_same(name: str) -> None:
    data = (FOLDER / f"{name}.ami").read_bytes()
    shared, work = anonymize(data)
    assert shared.count(b"\r\n\r\n") == data.count(b"\r\n\r\n")
    original = [call.to_dict() for call in final_calls(replay(data, rules=rules()))]
    anonymous = [call.to_dict() for call in final_calls(replay(shared, rules=rules()))]
    assert len(original) == len(anonymous)
    for before, after in zip(original, anonymous, strict=True):
        assert [(p, mapped(p, v, work)) for p, v in leaves(before)] == list(leaves(after))


@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_left(name: str) -> None:
    data = (FOLDER / f"{name}.ami").read_bytes()
    shared, _ = anonymize(data)
    for number in set(re.findall(rb"(?:Num|Exten|Extension): \+?(\d{7,})\r", data)):
        assert number not in shared
    for person in set(re.findall(rb"(?:IDName|LineName): ([^<\r]+)\r", data)):
        if not person.isdigit() and person.lower() not in (b"anonymous", b"unknown"):
            assert re.search(rb"\b" + re.escape(person) + rb"\b", shared) is None, person


def event(**headers: str) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n"


def one(value: str, header: str = "AccountCode", **others: str) -> str:
    data, _ = anonymize(event(Event="X", **others, **{header: value}))
    found = re.search(rf"^{header}: (.*)\r$", data.decode(), re.MULTILINE)
    assert found is not None
    return found[1]


names = st.text(st.characters(categories=["Lu", "Ll", "Nd"]), min_size=2, max_size=8).map(
    lambda t: f"Ив{t} Пё{t}"
)
numbers = st.from_regex(r"\+?[1-9][0-9]{6,14}", fullmatch=True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(numbers, names), min_size=1, max_size=6),
    st.sampled_from(
        ["PJSIP/{}@trunk", "Local/{}@ctx-00000001;1", "DAHDI/i1/{}-3", "{},60", "/rec/out-{}-101.wav"]
    ),
)
def test_no_number_and_no_name_survives(people: list[tuple[str, str]], shape: str) -> None:
    stream = b""
    for number, person in people:
        stream += event(Event="VarSet", Variable="CALLERID(all)", Value=f'"{person}" <{number}>')
        stream += event(Event="Newexten", Application="Dial", AppData=shape.format(number))
        stream += event(Event="Newexten", Application="Set", AppData=f"CRM={person}")
        stream += event(Event="UserEvent", UserEvent="Callcard", Client=person, Phone=number)
        stream += event(Event="Newchannel", CallerIDNum=number, CallerIDName=person, Exten=number)
        stream += event(Event="Cdr", CallerID=f'"{person}" <{number}>', Destination=number)
        stream += event(Event="ContactStatus", URI=f"sip:{number}@10.1.2.3:5060")
        stream += f"{person} {number} without a header\r\n\r\n".encode()
    shared, _ = anonymize(stream)
    text = shared.decode()
    for number, person in people:
        assert number.lstrip("+") not in text
        assert person not in text
    assert "10.1.2.3" not in text
    # The same number is the same everywhere, different ones stay different.
    after = re.findall(r"CallerIDNum: (.*)\r", text)
    before = [number for number, _ in people]
    assert len(set(zip(before, after, strict=True))) == len(set(before)) == len(set(after))
    assert [len(number) for number in after] == [len(number) for number in before]


def test_all_ways_of_writing_a_number_stay_one_number() -> None:
    data, _ = anonymize(
        b"".join(
            event(CallerIDNum=n) for n in ("+79001112233", "89001112233", "9001112233", "8 (900) 111-22-33")
        )
    )
    tails = {re.sub(r"\D", "", n)[-7:] for n in re.findall(r"Num: (.*)\r", data.decode())}
    assert len(tails) == 1
    assert tails != {"1112233"}


def test_another_run_gives_other_numbers() -> None:
    data = event(CallerIDNum="+79001112233", CallerIDName="Anna")
    assert anonymize(data)[0] == anonymize(data)[0] != anonymize(data, b"another key here")[0]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Exten", "101"),
        ("Uniqueid", "1795301056.75"),
        ("Linkedid", "office-1795301056.75"),
        ("Timestamp", "1795301056.123456"),
        ("EventTV", "2026-11-21T22:44:27.327+0000"),
        ("LoginTime", "1795301056"),
        ("Channel", "PJSIP/agent101-0000000b"),
        ("Channel", "PJSIP/101-00123456"),
        ("Channel", "Local/102@internal-00000001;1"),
        ("BridgeUniqueid", "12345678-1234-1234-1234-123456789012"),
        ("Queue", "support"),
        ("Address", "127.0.0.1"),
        ("MemberName", "PJSIP/agent101"),
        ("CallerIDName", "<unknown>"),
    ],
)
def test_what_a_call_is_made_of_stays(header: str, value: str) -> None:
    # Somebody is called like the queue.
    assert one(value, header, CallerIDName2="x", ConnectedLineName="support") == value


@pytest.mark.parametrize(
    ("header", "value", "others"),
    [
        ("Secret", "hunter2", {}),
        ("ActionID", "click-79001112233-anna", {}),
        ("CallID", "e233be2d@pbx.example.com", {}),
        ("Value", "hunter2", {"Variable": "SIP_PASSWORD"}),
        ("Value", "Anna Serova", {"Variable": "CRM_NAME"}),
        ("Value", "e233be2d@pbx.example.com", {"Variable": "SIPCALLID"}),
        ("AppData", "NAME=Anna", {"Application": "Set"}),
        ("ChanVariable", "CRM_NAME=Anna", {}),
        ("URI", "sip:101@pbx.example.com", {}),
        ("Peer", "fe80::1234:5678:9abc:def0", {}),
        ("Peer", "00:11:22:aa:bb:cc", {}),
        ("RemoteAddress", "IPV4/UDP/192.168.1.7/5060", {}),
        ("Output", "anna is here", {}),
        ("CallerIDNum", "0049711123456789012345", {}),
        ("Contact", "tel:+7-900-111-22-33", {}),
    ],
)
def test_what_may_tell_who_it_was_goes(header: str, value: str, others: dict[str, str]) -> None:
    new = one(value, header, **others)
    for word in re.findall(r"[A-Za-z]{4,}|\d{4,}|\d+\.\d+\.\d+\.\d+|(?:[0-9a-f]{2}:){3}", value):
        if word not in ("NAME", "IPV", "5060", "IPV4", "0049"):
            assert word not in new


def test_keys_that_choose_stay_and_what_is_typed_then_goes() -> None:
    stream = b"".join(
        event(Event=name, Uniqueid="1.1", Digit=key) for key in "2479001" for name in ("DTMFBegin", "DTMFEnd")
    )
    keys = re.findall(r"Digit: (.)", anonymize(stream)[0].decode())
    assert "".join(keys) == "22447700000000"


def test_a_commands_output_is_masked() -> None:
    data, _ = anonymize(
        b"Response: Follows\r\nPrivilege: Command\r\nanna: secret\nx\r\n\r\n" + event(Event="Y")
    )
    assert data == b"Response: Follows\r\nPrivilege: Command\r\nxxxx: xxxxxx\nx\r\n\r\nEvent: Y\r\n\r\n"


def test_a_read_that_ended_in_a_message_ends_before_it() -> None:
    messages = [(10, 12), (20, 21), (30, 40)]
    assert list(retimed(messages, [(1, 5), (2, 10), (3, 25), (9, 30), (11, 99)])) == [
        (1, 0),
        (2, 12),
        (3, 21),
        (9, 40),
        (11, 40),
    ]


def test_the_pace_stays() -> None:
    data = (FOLDER / "cyrillic_caller_name.ami").read_bytes()
    timing = read_timing((FOLDER / "cyrillic_caller_name.timing").read_text())
    shared, _ = anonymize(data)

    def ends(stream: bytes) -> Iterator[int]:
        at = -1
        while (at := stream.find(b"\r\n\r\n", at + 1)) >= 0:
            yield at + 4

    moved = list(retimed(zip(ends(data), ends(shared), strict=True), timing))
    before, after = (
        [(u.at, u.change) for u in replay(stream, timing=times)]
        for stream, times in ((data, timing), (shared, moved))
    )
    assert before == after


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=300), st.sampled_from(NAMES[:5]), st.integers(0, 5000))
def test_any_bytes_are_survived(noise: bytes, name: str, at: int) -> None:
    data = (FOLDER / f"{name}.ami").read_bytes()[:8000]
    anonymize(data[:at] + noise + data[at:])
    shared, _ = anonymize(noise)
    assert shared.count(b"\n") == noise.count(b"\n")


def test_a_line_without_end_is_masked_in_bounded_memory() -> None:
    people = People()
    pieces = [b"Event: " + b"Anna79001112233" * 5000, b"Anna79001112233" * 10 + b"\r\n", b"Event: X\r\n"]
    for _ in people.see(pieces):
        pass
    out = list(Anonymizer(people, KEY).lines(pieces))
    assert b"Anna" not in b"".join(out)
    assert b"7900" not in b"".join(out)
    assert [len(piece) for piece in out] == [len(piece) for piece in pieces]
    assert out[-1] == b"Event: X\r\n"
