"""Link templates, as the settings have them."""

import pytest

from shared.links import LinkTemplate
from shared.settings import SettingsError, load_settings


def test_a_template_of_all_and_of_one_source() -> None:
    assert LinkTemplate.of("CRM", "https://crm.example/{external_id}").source is None
    template = LinkTemplate.of("crm: Клиент ", "https://crm.example/{external_id}")
    assert (template.source, template.label) == ("crm", "Клиент")


@pytest.mark.parametrize("value", ["a/b?c=d&e#f", "..", "Д-1 2", "\u202e%2f", "javascript:alert(1)"])
def test_a_value_stays_one_value_of_the_address(value: str) -> None:
    filled = LinkTemplate.of("x", "https://crm.example/c/{external_id}").fill({"external_id": value})
    assert filled is not None
    assert set(filled.removeprefix("https://crm.example/c/")).isdisjoint("/?&#: ")


def test_without_a_value_there_is_no_link() -> None:
    template = LinkTemplate.of("x", "https://crm.example/{external_id}?n={number}")
    assert template.fill({"external_id": "1"}) is None
    assert template.fill({"external_id": "1", "number": None}) is None


@pytest.mark.parametrize(
    ("name", "url", "says"),
    [
        (
            "CRM",
            "https://crm.example/{id}",
            "{id} in it is unknown; placeholders are {number}, {external_id}",
        ),
        ("CRM", "https://crm.example/{number", "a brace in it stands alone"),
        ("CRM", "https://crm.example/{{number}}", "a brace in it stands alone"),
        ("CRM", "https://crm.example/{}", "{} in it is unknown"),
        ("CRM", "javascript:alert({number})", "must begin with https:// or http://"),
        ("CRM", "https://", "must begin with https:// or http://"),
        ("CRM", "https://{source}.example/", "placeholder in the server's name"),
        ("Big CRM:x", "https://crm.example/", "does not begin with the name of a source"),
        ("crm:", "https://crm.example/", "has no label"),
    ],
)
def test_a_wrong_template_says_what_is_wrong(name: str, url: str, says: str) -> None:
    with pytest.raises(ValueError, match="the link ") as raised:
        LinkTemplate.of(name, url)
    assert says in str(raised.value)


def test_the_settings_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLCARD_CARD__ATTRIBUTES", "tariff, city")
    monkeypatch.setenv(
        "CALLCARD_CARD__LINKS", "CRM=https://crm.example/?id={external_id}; crm:B=https://b.example/{account}"
    )
    card = load_settings().card
    assert card.attributes == ["tariff", "city"]
    assert [(link.source, link.label, link.url) for link in card.links] == [
        (None, "CRM", "https://crm.example/?id={external_id}"),
        ("crm", "B", "https://b.example/{account}"),
    ]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            "CRM=https://crm.example/{id}",
            "CALLCARD_CARD__LINKS: the link 'CRM' is no address we can fill: {id} in it is unknown",
        ),
        ("https://crm.example/", "CALLCARD_CARD__LINKS: is not a list of name=value"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_sentence(
    value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLCARD_CARD__LINKS", value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert says in str(raised.value)
