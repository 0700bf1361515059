"""The question: what a caller, or whoever typed an account, can and cannot put into it."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from card_api.lookup.schemas import Question
from card_api.sources.template import Template, asks, in_json, in_url, url_template

CALLER = Question("+79001112233", "77-123")


def test_the_number_in_every_form() -> None:
    template = url_template("https://crm/{number}/{number_digits}?n={national}&a={account}")
    assert template.fill(CALLER, in_url) == "https://crm/%2B79001112233/79001112233?n=9001112233&a=77-123"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("https://crm/x?p={phone}", "has {phone}; what can be put in: {account}"),
        ("crm.example/x?p={number}", "is no web address"),
        ("ftp://crm.example/{number}", "is no web address"),
        ("https:///x{number}", "is no web address"),
        ("https://{number}.crm.example/", "has a placeholder in the host"),
    ],
)
def test_a_wrong_address_says_so(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        url_template(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_account_leaves_its_place(account: str) -> None:
    question = Question(None, account)
    url = url_template("https://crm/a/{account}/b?q={account}&end=1").fill(question, in_url)
    parts = urlsplit(url)
    assert (parts.hostname, parts.path.count("/"), parts.fragment) == ("crm", 3, "")
    assert parse_qs(parts.query, keep_blank_values=True) == {"q": [account], "end": ["1"]}
    body = Template.of('{"phone": "{account}", "deep": {"a": 1}}').fill(question, in_json)
    assert json.loads(body) == {"phone": account, "deep": {"a": 1}}


def test_who_has_nothing_to_ask_for_is_not_asked() -> None:
    by_number, by_account = frozenset({"national"}), frozenset({"account"})
    assert asks(by_number, Question("+79001112233"))
    assert not asks(by_number, Question(None, "77"))
    assert asks(by_account, Question(None, "77"))
    assert not asks(by_account, Question("+79001112233"))
    assert asks(by_account | by_number, Question("+79001112233"))
