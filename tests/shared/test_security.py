"""Tokens, keys and passwords."""

from datetime import UTC, datetime, timedelta

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from shared.security import (
    Passwords,
    TokenError,
    hash_api_key,
    issue_token,
    new_api_key,
    same,
    verify_token,
)

SECRET = "s" * 32
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_a_token_says_who_and_until_when() -> None:
    token = issue_token(SECRET, "101", "agent", NOW, timedelta(hours=12))
    claims = verify_token(SECRET, token, NOW + timedelta(hours=11))
    assert (claims.login, claims.role, claims.expires_at) == ("101", "agent", NOW + timedelta(hours=12))


def test_an_old_token_is_expired_and_not_just_wrong() -> None:
    token = issue_token(SECRET, "101", "agent", NOW, timedelta(hours=1))
    with pytest.raises(TokenError) as error:
        verify_token(SECRET, token, NOW + timedelta(hours=2))
    assert error.value.expired


@pytest.mark.parametrize(
    "token", ["", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMDEifQ.", "\x00", "x" * 10_000]
)
def test_garbage_is_no_token(token: str) -> None:
    with pytest.raises(TokenError) as error:
        verify_token(SECRET, token, NOW)
    assert not error.value.expired


def test_another_secret_is_refused() -> None:
    token = issue_token("t" * 32, "101", "agent", NOW, timedelta(hours=1))
    with pytest.raises(TokenError):
        verify_token(SECRET, token, NOW)


def test_an_api_key_is_kept_as_a_hash() -> None:
    key, prefix, stored = new_api_key()
    assert key.startswith(prefix)
    assert key.encode() not in stored
    assert same(hash_api_key(key), stored)
    assert not same(hash_api_key(key + "x"), stored)


def test_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    # As dear as the product's, not the tests'.
    monkeypatch.setattr("shared.security.Argon2Hasher", Argon2Hasher)
    passwords = Passwords()
    stored = passwords.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$"), "RFC 9106, 4: where memory is scarce"
    assert passwords.verify("correct horse", stored)
    assert not passwords.verify("wrong horse", stored)
    assert not passwords.verify("correct horse", None)
