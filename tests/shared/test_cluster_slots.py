"""Which node owns what, and what an address means."""

from typing import Any

import pytest

from shared.cluster_slots import Slots, key_of
from shared.redis_url import check_redis_url, named_nodes, node_url

HERE = ("10.0.0.9", 7000)


def test_a_key_belongs_to_the_owner_of_its_slot() -> None:
    slots = Slots.parse(
        [
            [0, 8191, [b"10.0.0.1", 7001, b"id", []], [b"10.0.0.3", 7003, b"id", []]],
            [8192, 15_000, [b"", 7002, b"id", []]],
        ],
        HERE,
    )
    assert slots.masters == (("10.0.0.1", 7001), ("10.0.0.9", 7002))
    # As CLUSTER KEYSLOT says: {b} 3300, {calls} 14033, {a} 15495.
    assert slots.owner("callcard:{b}:x") == ("10.0.0.1", 7001)
    assert slots.owner(b"callcard:{calls}:told") == ("10.0.0.9", 7002)
    assert slots.owner("callcard:{a}") is None


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "k"), "k"),
        (("XADD", b"k", "*", "f", "v"), b"k"),
        (("EVALSHA", "sha", 2, "k1", "k2", "a"), "k1"),
        (("EVAL", "text", 0, "a"), None),
        (("XREADGROUP", "GROUP", "g", "c", "COUNT", 9, "BLOCK", 1, "STREAMS", "k", ">"), "k"),
        (("XINFO CONSUMERS", "k", "g"), "k"),
        (("XGROUP CREATE", "k", "g", "0"), "k"),
        (("PUBLISH", "channel", b"said"), "channel"),
        (("PING",), None),
    ],
)
def test_the_key_of_a_command(command: tuple[Any, ...], key: str | bytes | None) -> None:
    assert key_of(command) == key


def test_the_nodes_of_an_address() -> None:
    url = "rediss+cluster://me:p%40ss@one:7001,two,[fd00::1]:7003/0?ssl_ca_certs=/ca.pem"
    assert named_nodes(check_redis_url(url)) == [("one", 7001), ("two", 6379), ("fd00::1", 7003)]
    assert node_url(url, ("10.0.0.1", 7)) == "rediss://me:p%40ss@10.0.0.1:7/0?ssl_ca_certs=/ca.pem"
    assert node_url(url, ("fd00::1", 7)) == "rediss://me:p%40ss@[fd00::1]:7/0?ssl_ca_certs=/ca.pem"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://one:1,two:2/0", "several hosts"),
        ("redis+cluster://one:1/3", "only one"),
        ("redis+cluster://", "names no node"),
        ("redis+cluster://secret@one:x", "port"),
        ("mysql+cluster://one", "names no node"),
        ("one:6379", "no address of a Redis"),
    ],
)
def test_what_is_no_address_is_said_without_repeating_it(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        check_redis_url(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["redis://:pw@host:6379/5", "rediss://host", "unix:///run/redis.sock"])
def test_one_redis_stays_what_it_was(url: str) -> None:
    assert check_redis_url(url) == url
