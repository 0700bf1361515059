"""Tokens of another system: by its keys, with the algorithm that the keys demand, for us, in time, of an agent."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from shared.security import TokenError, issue_token
from shared.token_keys import Issuer, TokenVerifier, UnknownKeyError, VerifyKey, public_keys, shared_key

OWN = "our own secret, which is long enough"
SHARED = "a secret that the CRM has as well as we do"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"}, private=True)
NEW_RSA = RSAKey.generate_key(2048, {"kid": "rsa-2"}, private=True)
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1"}, private=True)
EC = ECKey.generate_key("P-256", {"kid": "ec-1"}, private=True)


def key_set(*keys: Any, **more: Any) -> bytes:
    return orjson.dumps({"keys": [{**key.as_dict(private=False), **more} for key in keys]})


def verifier(*keys: VerifyKey, **rules: Any) -> TokenVerifier:
    return TokenVerifier(OWN, Issuer(lambda: keys, **{"audience": "callcard", **rules}))


def claims(**more: Any) -> dict[str, Any]:
    base = {"sub": "101", "aud": "callcard", "iat": NOW.timestamp(), "exp": NOW.timestamp() + 600}
    return {name: value for name, value in {**base, **more}.items() if value is not None}


def signed(key: Any, algorithm: str, header: dict[str, Any] | None = None, **more: Any) -> str:
    head = {"alg": algorithm, "kid": key.kid, **(header or {})}
    return jwt.encode({n: v for n, v in head.items() if v}, claims(**more), key, algorithms=[algorithm])


PUBLIC = public_keys(key_set(RSA, ED, EC))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (ED, "EdDSA"), (ED, "Ed25519"), (EC, "ES256")],
    ids=["RS256", "EdDSA", "Ed25519", "ES256"],
)
@pytest.mark.parametrize("kid", [True, False])
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_a_token_by_a_key_of_the_set(key: Any, algorithm: str, kid: bool) -> None:
    found = verifier(*PUBLIC).verify(signed(key, algorithm, None if kid else {"kid": ""}), NOW)
    assert (found.login, found.role, found.issued_at) == ("101", "agent", NOW)
    assert found.expires_at == NOW + timedelta(minutes=10)


def test_a_token_by_a_shared_secret() -> None:
    key = shared_key(SHARED)
    assert verifier(key).verify(signed(OctKey.import_key(SHARED), "HS256"), NOW).login == "101"
    with pytest.raises(TokenError):
        verifier(key).verify(signed(OctKey.import_key("another secret, also long enough"), "HS256"), NOW)


def test_our_own_tokens_are_taken_as_ever() -> None:
    own = issue_token(OWN, "102", "supervisor", NOW, timedelta(hours=1), ["line:support"])
    for tokens in (TokenVerifier(OWN), verifier(*PUBLIC)):
        found = tokens.verify(own, NOW)
        assert (found.login, found.role, found.channels) == ("102", "supervisor", ("line:support",))
        with pytest.raises(TokenError) as error:
            tokens.verify(own, NOW + timedelta(hours=2))
        assert error.value.expired


def unsigned(**header: Any) -> str:
    def part(document: dict[str, Any]) -> str:
        return urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()

    return f"{part(header)}.{part(claims())}."


def hmac_signed(secret: bytes, **header: Any) -> str:
    """HS256 by hand: the library refuses to sign with a public key."""
    body = unsigned(alg="HS256", **header).removesuffix(".")
    mark = hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{urlsafe_b64encode(mark).rstrip(b'=').decode()}"


FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned(alg="none", kid="rsa-1"),
    "alg None, no kid": lambda: unsigned(alg="None"),
    "no alg": lambda: unsigned(kid="rsa-1"),
    "HS256 by the public key as PEM": lambda: hmac_signed(RSA.as_pem(private=False), kid="rsa-1"),
    "HS256 by the public key as DER": lambda: hmac_signed(RSA.as_der(private=False), kid="rsa-1"),
    "HS256 by the public key, no kid": lambda: hmac_signed(RSA.as_pem(private=False)),
    "HS256 by an empty secret": lambda: hmac_signed(b"", kid="rsa-1"),
    "another RSA key under a known name": lambda: signed(NEW_RSA, "RS256", {"kid": "rsa-1"}),
    "RSA with an algorithm that is not ours": lambda: signed(RSA, "RS384"),
    "a key in the header": lambda: signed(
        NEW_RSA, "RS256", {"kid": "rsa-1", "jwk": NEW_RSA.as_dict(private=False)}
    ),
    "changed": lambda: signed(RSA, "RS256")[:-8] + "AAAAAAAA",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_forged_tokens_are_refused(forged: Callable[[], str]) -> None:
    with pytest.raises(TokenError) as error:
        verifier(*PUBLIC).verify(forged(), NOW)
    assert not error.value.expired


@pytest.mark.parametrize(
    "wrong",
    [{"aud": "another"}, {"aud": None}, {"aud": ["a", "b"]}, {"exp": None}, {"exp": "soon"}, {"exp": True},
     {"exp": 1e30}, {"nbf": NOW.timestamp() + 60}, {"nbf": "now"}, {"sub": None}, {"sub": ""}, {"sub": ["101"]},
     {"sub": True}, {"sub": "101\n"}, {"iss": "https://evil.example"}],
    ids=str,
)  # fmt: skip
def test_claims_that_will_not_do(wrong: dict[str, Any]) -> None:
    tokens = verifier(*PUBLIC, issuer="https://crm.example")
    good = {"iss": "https://crm.example", "nbf": NOW.timestamp()}
    assert tokens.verify(signed(RSA, "RS256", **good), NOW).login == "101"
    with pytest.raises(TokenError) as error:
        tokens.verify(signed(RSA, "RS256", **{**good, **wrong}), NOW)
    assert not error.value.expired


def test_an_old_token_is_expired() -> None:
    with pytest.raises(TokenError) as error:
        verifier(*PUBLIC).verify(signed(RSA, "RS256"), NOW + timedelta(hours=1))
    assert error.value.expired


def test_whose_it_is_stands_where_the_settings_say() -> None:
    token = signed(RSA, "RS256", sub="u-9000", extension=101, crm_role="supervisor")
    found = verifier(*PUBLIC, login_claim="extension", role_claim="crm_role").verify(token, NOW)
    assert (found.login, found.role) == ("101", "supervisor")
    # Nobody becomes a supervisor by a claim that nobody told us to look at, or by a role that is none.
    assert verifier(*PUBLIC, login_claim="extension").verify(token, NOW).role == "agent"
    boss = signed(RSA, "RS256", crm_role="owner")
    assert verifier(*PUBLIC, role_claim="crm_role").verify(boss, NOW).role == "agent"


def test_a_key_that_is_not_known_yet_may_be_in_a_moment() -> None:
    token = signed(NEW_RSA, "RS256")
    with pytest.raises(UnknownKeyError):
        verifier(*PUBLIC).verify(token, NOW)
    assert verifier(*PUBLIC, *public_keys(key_set(NEW_RSA))).verify(token, NOW).login == "101"
    with pytest.raises(UnknownKeyError):
        verifier().verify(token, NOW)  # nothing has been read yet


def test_keys_we_have_no_use_for_are_left_out() -> None:
    document = orjson.dumps(
        {
            "keys": [
                {"kty": "oct", "k": "c2VjcmV0", "kid": "a secret"},
                {"kty": "RSA", "n": "broken"},
                {**RSA.as_dict(private=False), "use": "enc"},
                {**NEW_RSA.as_dict(private=False), "alg": "PS512"},
                {"kty": "new"},
                ED.as_dict(private=False),
            ]
        }
    )
    assert [key.kid for key in public_keys(document)] == ["ed-1"]


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys":5}', b'{"keys":[5]}', b'{"keys":[]}', b"<html>"], ids=str
)
def test_what_is_no_key_set(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON Web Key Set|no key for signatures"):
        public_keys(document)


@given(st.text() | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}"))
def test_no_text_whatever_breaks_it(text: str) -> None:
    with pytest.raises(TokenError):
        verifier(*PUBLIC).verify(text, NOW)
