"""Settings: where they come from, and what a wrong one says."""

from pathlib import Path

import pytest

from shared.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [n for n in os.environ if n.startswith("CALLCARD_")]:
        monkeypatch.delenv(name)


def test_a_pbx_is_named_by_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLCARD_PBX__MAIN__HOST", "10.0.0.5")
    monkeypatch.setenv("CALLCARD_PBX__MAIN__SECRET", "s3cret")
    monkeypatch.setenv("CALLCARD_PBX__BRANCH__HOST", "10.0.0.6")
    settings = load_settings()
    assert {name: pbx.host for name, pbx in settings.pbx.items()} == {
        "main": "10.0.0.5",
        "branch": "10.0.0.6",
    }
    assert settings.pbx["main"].secret.get_secret_value() == "s3cret"


def test_lists_are_words_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLCARD_ALLOWED_ORIGINS", "https://crm.example, https://desk.example")
    monkeypatch.setenv("CALLCARD_PBX__MAIN__TRUNKS", "PJSIP/provider*,SIP/gw")
    settings = load_settings()
    assert settings.allowed_origins == ["https://crm.example", "https://desk.example"]
    assert settings.pbx["main"].trunks == ["PJSIP/provider*", "SIP/gw"]


def test_channel_variables_are_named_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLCARD_PBX__MAIN__VARIABLES", "MIXMONITOR_FILENAME, CALLCARD_CONTRACT")
    assert load_settings().pbx["main"].variables == ["MIXMONITOR_FILENAME", "CALLCARD_CONTRACT"]


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("x" * 40 + "\n")
    monkeypatch.setenv("CALLCARD_AUTH__SECRET_FILE", str(file))
    secret = load_settings().auth.secret
    assert secret is not None
    assert secret.get_secret_value() == "x" * 40


def test_toml_is_below_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "callcard.toml"
    file.write_text('country = "KZ"\n[http]\nport = 9000\n[pbx.main]\nhost = "pbx.example"\n')
    monkeypatch.setenv("CALLCARD_CONFIG", str(file))
    monkeypatch.setenv("CALLCARD_HTTP__PORT", "9001")
    settings = load_settings()
    assert (settings.country, settings.http.port, settings.pbx["main"].host) == ("KZ", 9001, "pbx.example")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("CALLCARD_HTTP__PORT", "abc", "CALLCARD_HTTP__PORT: input should be a valid integer"),
        ("CALLCARD_HTTP__PORT", "70000", "CALLCARD_HTTP__PORT: input should be less than or equal to 65535"),
        ("CALLCARD_AUTH__SECRET", "short", "use at least 32 random characters"),
        (
            "CALLCARD_HTPP__PORT",
            "1",
            "CALLCARD_HTPP__PORT is no setting of Callcard. Did you mean CALLCARD_HTTP__PORT?",
        ),
        ("CALLCARD_DATABASE_URL", "postgresql://x", "Did you mean CALLCARD_DATABASE__URL?"),
        ("CALLCARD_PBX_OFFICE_HOST", "x", "Did you mean CALLCARD_PBX__OFFICE__HOST?"),
        ("CALLCARD_PBX__MAIN__HSOT", "x", "Did you mean CALLCARD_PBX__MAIN__HOST?"),
        ("CALLCARD_COUNTRY__CODE", "RU", "CALLCARD_COUNTRY__CODE is no setting of Callcard"),
        ("CALLCARD_XYZZY", "1", "CALLCARD_XYZZY is no setting of Callcard."),
        (
            "CALLCARD_DATABASE",
            "postgresql://u:hunter2@db/x",
            "CALLCARD_DATABASE is a group of settings and has no value itself: set CALLCARD_DATABASE__URL, ",
        ),
        ("CALLCARD_PBX", "10.0.0.5", "set CALLCARD_PBX__MAIN__HOST, CALLCARD_PBX__MAIN__PORT, "),
        ("CALLCARD_PBX__OFFICE", "10.0.0.5", "set CALLCARD_PBX__OFFICE__HOST, CALLCARD_PBX__OFFICE__PORT, "),
        ("CALLCARD_HTTP", "", "set CALLCARD_HTTP__HOST, CALLCARD_HTTP__PORT, "),
        ("CALLCARD_PBX__MAIN_1__HOST", "x", "must be small letters, digits and hyphens"),
        ("CALLCARD_PBX__MAIN__VARIABLES", "CONTRACT,IVR_*", "'IVR_*' is no name of a channel variable"),
        ("CALLCARD_PBX__MAIN__VARIABLES", "__CONTRACT", "without the leading underscores"),
        ("CALLCARD_PBX__MAIN__VARIABLES", "A)|(.*", "is no name of a channel variable"),
        ("CALLCARD_PBX__MAIN__VARIABLES", ",".join(f"V{n}" for n in range(33)), "at most 32 are followed"),
        ("CALLCARD_CONFIG", "/nowhere/callcard.toml", "which is no file"),
        ("CALLCARD_AUTH__SECRET_FILE", "/nowhere/secret", "cannot be read"),
        ("CALLCARD_HTTP__TRUSTED_PROXIES", "10.0.0.5, proxy", "'proxy' is neither an address nor a network"),
        ("CALLCARD_HTTP__TRUSTED_PROXIES", "*", "'*' is neither"),
        ("CALLCARD_ALLOWED_ORIGINS", "[oops", "CALLCARD_ALLOWED_ORIGINS"),
    ],
)
def test_a_wrong_setting_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert sentence.lower() in str(error.value).lower()
    assert "hunter2" not in str(error.value)


def test_a_group_may_be_json_or_a_table_but_not_a_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CALLCARD_HTTP", '{"port": 9000}')
    monkeypatch.setenv("CALLCARD_SOURCES__CRM__MAP__NAME", "$.fio")
    settings = load_settings()
    assert (settings.http.port, settings.sources["crm"].map) == (9000, {"name": "$.fio"})
    file = tmp_path / "callcard.toml"
    file.write_text('redis = "redis://x"\n[database]\nuri = "postgresql://x"\n')
    monkeypatch.setenv("CALLCARD_CONFIG", str(file))
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value).splitlines() == [
        "CALLCARD_DATABASE__URI is no setting of Callcard. Did you mean CALLCARD_DATABASE__URL?",
        "CALLCARD_REDIS is a group of settings and has no value itself: set CALLCARD_REDIS__URL.",
    ]


def test_a_wrong_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLCARD_AUTH__SECRET", "hunter2")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "hunter2" not in str(error.value)


def test_wrap_up_times_are_names_with_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLCARD_PBX__MAIN__WRAPUP", "support=30, billing=15")
    monkeypatch.setenv("CALLCARD_PBX__BRANCH__WRAPUP", "")
    pbx = load_settings().pbx
    assert (pbx["main"].wrapup, pbx["branch"].wrapup) == ({"support": 30, "billing": 15}, {})


@pytest.mark.parametrize("value", ["support", "support=", "=30", "support=-1", "support=half a minute"])
def test_a_wrap_up_time_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CALLCARD_PBX__MAIN__WRAPUP", value)
    with pytest.raises(SettingsError, match=r"CALLCARD_PBX__MAIN__WRAPUP.*support=30,billing=15"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("BACKEND", "pusher", "CALLCARD_PUSH__BACKEND"),
        (
            "CENTRIFUGO_URL",
            "centrifugo:8000",
            "is no address of a server: write it like http://centrifugo:8000",
        ),
        ("CENTRIFUGO_URL", "http://centrifugo:8000/api", "without a path"),
        ("CENTRIFUGO_SECRET", "short", "CALLCARD_PUSH__CENTRIFUGO_SECRET: is too short"),
    ],
)
def test_what_is_wrong_about_centrifugo_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"CALLCARD_PUSH__{name}", value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert says in str(error.value)
    assert "short" not in str(error.value).replace("too short", "")
