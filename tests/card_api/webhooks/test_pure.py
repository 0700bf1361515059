"""Signing, waiting, and where nothing is sent: functions of data."""

from datetime import timedelta
from ipaddress import ip_address
from uuid import UUID

import pytest

from card_api.webhooks.addresses import refusal, refusal_of
from card_api.webhooks.retry import TRIES, ZAMMAD_TRIES, wait_after
from card_api.webhooks.signing import secret, signature

HOOK = UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")


def test_the_signature_is_that_of_the_specification() -> None:
    """The vector published with Standard Webhooks."""
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_of_one_site_one_hook_and_one_version() -> None:
    secrets = {
        secret("a site", HOOK, 1),
        secret("another", HOOK, 1),
        secret("a site", UUID(int=1), 1),
        secret("a site", HOOK, 2),
    }
    assert len(secrets) == 4
    assert secret("a site", HOOK, 1) in secrets


def test_waits_grow_threefold_to_six_hours_and_end() -> None:
    waits = [wait_after(n, TRIES, lambda: 0.5) for n in range(1, TRIES + 1)]
    assert [w.total_seconds() for w in waits if w is not None] == [
        *(5, 15, 45, 135, 405, 1215, 3645, 10935),
        *(21600, 21600, 21600),
    ]
    assert waits[-1] is None
    assert wait_after(1, TRIES, lambda: 0.0) == timedelta(seconds=4)
    assert wait_after(1, TRIES, lambda: 1.0) == timedelta(seconds=6)
    assert wait_after(ZAMMAD_TRIES, ZAMMAD_TRIES, lambda: 0.5) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ],
)
def test_metadata_and_what_is_no_server_is_refused_always(address: str) -> None:
    assert refusal(ip_address(address), allow_private=True) is not None


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.10", "127.0.0.1", "::1", "fd12::1", "100.64.0.1"])
def test_private_addresses_are_for_a_setting(address: str) -> None:
    assert refusal(ip_address(address), allow_private=True) is None
    assert "ALLOW_PRIVATE" in (refusal(ip_address(address), allow_private=False) or "")


def test_an_address_in_a_url_is_known_at_once_and_a_name_is_not() -> None:
    for url in ("http://169.254.169.254/x", "http://[::ffff:a9fe:a9fe]/", "http://[fe80::1%25eth0]:8080/"):
        assert refusal_of(url, allow_private=True) is not None, url
    for url in ("http://10.0.0.5/", "https://crm.example/", "http://[::1]:9000/"):
        assert refusal_of(url, allow_private=True) is None, url
    assert "ALLOW_PRIVATE" in (refusal_of("http://10.0.0.5/", allow_private=False) or "")


def test_the_world_is_allowed() -> None:
    assert refusal(ip_address("93.184.216.34"), allow_private=False) is None
    assert refusal(ip_address("2606:2800:220:1::1"), allow_private=False) is None
