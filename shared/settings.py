"""Settings: `CALLCARD_*` variables, `CALLCARD_…_FILE` secrets and an optional TOML file (`CALLCARD_CONFIG`).

`load_settings` is the only way in; a wrong value raises `SettingsError`, whose text is one sentence a problem that
says which setting is wrong and what to write instead. Nothing is read at import.
"""

import json
import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import TomlConfigSettingsSource

from shared.links import LinkTemplate
from shared.redis_url import check_redis_url
from shared.settings_names import group_without_value, no_setting, wrong_names

PREFIX = "CALLCARD_"
# As many facts as a call may have; a longer list would be a mistake, and each name costs the PBX a comparison.
_MAX_VARIABLES = 32
# Settings with one of these words in the name hold secrets, or may: their value is not said again.
_UNSAID = ("SECRET", "URL", "TOKEN", "PASSWORD", "HEADERS", "BODY", "OPTIONS")
# Variables that are read before, or beside, the settings themselves.
NOT_SETTINGS = {"CALLCARD_CONFIG"}


class SettingsError(Exception):
    """What is wrong with the settings: one sentence a line, for a person."""


def _words(value: Any) -> Any:
    """`a, b` in a variable is a list; TOML has lists of its own."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return [word.strip() for word in value.split(",") if word.strip()]


def _seconds_by_name(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [word.partition("=") for word in _words(value)]
    for name, separator, seconds in pairs:
        if not separator or not name.strip() or not seconds.strip().isdecimal():
            raise ValueError("is not a list of name=seconds: write it like support=30,billing=15")
    return {name.strip(): int(seconds) for name, _, seconds in pairs}


SecondsByName = Annotated[dict[str, Annotated[int, Field(ge=0)]], NoDecode, BeforeValidator(_seconds_by_name)]
"""Names with seconds: `support=30,billing=15` in a variable."""

Words = Annotated[list[str], NoDecode, BeforeValidator(_words)]
"""Several values: `a,b` in a variable."""


def _pairs(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("begins like JSON but is none: check quotes and commas") from None
    pairs = [line.partition("=") for line in re.split(r"[;\n]", value) if line.strip()]
    if not all(name.strip() and text.strip() for name, _, text in pairs):
        raise ValueError("is not a list of name=value: write it like a=1; b=2, or as a JSON object")
    return {name.strip(): text.strip() for name, _, text in pairs}


Pairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)]
"""Names with texts: `a=1; b=2`, a pair a line, or a JSON object in a variable; a table in TOML."""

SecretPairs = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_pairs)]


class Section(BaseModel):
    """A group of settings; a word nobody knows in it is an error, so a typing mistake is found at the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PbxSettings(Section):
    """One Asterisk server: how to reach its AMI, and which ends are ours."""

    host: str = "127.0.0.1"
    port: int = Field(5038, ge=1, le=65535)
    username: str = "callcard"
    secret: SecretStr = SecretStr("")
    country: str | None = Field(None, description="country of this PBX's numbers, if not the general one")
    agents: Words = Field([], description="patterns of agents' endpoints, e.g. PJSIP/1??")
    trunks: Words = Field([], description="patterns of trunks' endpoints, e.g. PJSIP/provider*")
    internal_contexts: Words = Field([], description="dialplan contexts that agents' phones dial in")
    inbound_contexts: Words = Field([], description="dialplan contexts that trunks come in by")
    variables: Words = Field(
        [], description="channel variables that are facts of a call, by exact name: MIXMONITOR_FILENAME"
    )

    wrapup: SecondsByName = Field(
        {}, description="wrapuptime of queues, which AMI does not tell: support=30,billing=15"
    )

    @field_validator("variables")
    @classmethod
    def _variable_names(cls, value: list[str]) -> list[str]:
        # Exact names: each VarSet, most of what a PBX sends, is decided by one look into a set, and the PBX itself can
        # be asked for just these. The name becomes a part of that question, a regular expression.
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}", name):
                raise ValueError(
                    f"{name!r} is no name of a channel variable: write it exactly as in Set(NAME=value), without"
                    " the leading underscores and without patterns"
                )
        if len(value) > _MAX_VARIABLES:
            raise ValueError(
                f"lists {len(value)} variables, at most {_MAX_VARIABLES} are followed: leave some out"
            )
        return value


class DatabaseSettings(Section):
    url: SecretStr | None = Field(
        None, description="postgresql://user:password@host/name; embedded if not given"
    )
    pool_size: int = Field(
        5, ge=1, le=100, description="connections a process keeps; a look-up holds one for < 1 ms"
    )


class RedisSettings(Section):
    url: SecretStr | None = Field(
        None,
        description="redis://host:6379/0, or redis+cluster://node1:6379,node2:6379 for a Redis Cluster; embedded if"
        " not given",
    )

    @field_validator("url")
    @classmethod
    def _address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_redis_url(value.get_secret_value())
        return value


class HttpSettings(Section):
    """Where this process listens. `run all` serves the desk, the API and the gateway on this one port."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    trusted_proxies: Words = Field(
        ["127.0.0.1", "::1"],
        description="reverse proxies whose X-Forwarded-For says who asks, by address or network: 10.0.0.5,10.1.0.0/16",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                ip_network(text)
            except ValueError:
                raise ValueError(
                    f"{text!r} is neither an address nor a network: write it like 10.0.0.5 or 10.1.0.0/16"
                ) from None
        return value


class ApiSettings(Section):
    per_second: int = Field(
        100, ge=1, description="requests an API key may make, unless it was given a limit of its own"
    )


class AuthSettings(Section):
    secret: SecretStr | None = Field(
        None,
        description="signs the agents' tokens, at least 32 characters; made and kept in data_dir if not given",
    )
    token_minutes: int = Field(720, ge=1, description="how long a sign-in lasts; a shift is 12 hours")
    jwks: str = Field(
        "",
        description="public keys of the system that signs agents in: https://crm/.well-known/jwks.json, or a file"
        " (docs/push-tokens.md)",
    )
    sso_secret: SecretStr | None = Field(
        None, description="in place of public keys: a secret shared with that system, for HS256"
    )
    issuer: str = Field("", description="what iss of its tokens must be; empty: anything")
    audience: str = Field("callcard", min_length=1, description="what aud of its tokens must be, or contain")
    login_claim: str = Field("sub", min_length=1, description="where its tokens have the agent's login here")
    role_claim: str = Field("", description="where they have the role; empty: who comes so is an agent")

    @field_validator("secret", "sso_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError(
                "is too short: use at least 32 random characters (openssl rand -hex 32 makes some)"
            )
        return value


def _link_templates(value: Any) -> Any:
    named = _pairs(value)
    if not isinstance(named, dict):
        raise ValueError(
            "is not a list of label=address: write it like CRM=https://crm.example/{external_id}"
        )
    return tuple(
        text if isinstance(text, LinkTemplate) else LinkTemplate.of(str(name), str(text))
        for name, text in named.items()
    )


LinkTemplates = Annotated[tuple[LinkTemplate, ...], NoDecode, BeforeValidator(_link_templates)]
"""Labels with addresses: `CRM=https://crm.example/client/{external_id}; crm:Orders=https://…`."""


class CardSettings(Section):
    """What a card shows beyond what every card shows."""

    attributes: Words = Field(
        [], description="free fields of customers that the card shows, in this order: tariff,city"
    )
    links: LinkTemplates = Field(
        (),
        description="links on the card: CRM=https://crm.example/client/{external_id}; crm:… for customers of the"
        " source crm only; also {number}, {source}, {customer_id}, {account}, {call_id}",
    )


class PushSettings(Section):
    """What one tab, and the tabs of one agent, may ask of the push gateway."""

    frame_kb: int = Field(64, ge=4, le=1024, description="the longest message taken from a tab, in kB")
    commands_per_second: int = Field(
        50, ge=5, description="a tab may send; a desk needs one or two a card, so more is a loop in a page"
    )
    channels: int = Field(64, ge=1, description="a tab may listen to: its own and the lines on its boards")
    connections_per_agent: int = Field(16, ge=1, description="tabs of one agent, counted in each process")
    first_command_seconds: float = Field(10, gt=0, le=60, description="to say who it is, after connecting")
    queue_kb: int = Field(
        1024, ge=64, description="may wait for a tab that reads slowly, in kB; then it has to reconnect"
    )
    backend: Literal["gateway", "centrifugo"] = Field(
        "gateway", description="who keeps the tabs: our own gateway, or Centrifugo 6 (docs/centrifugo.md)"
    )
    centrifugo_url: str = Field("http://127.0.0.1:8000", description="where Centrifugo's server API answers")
    centrifugo_secret: SecretStr | None = Field(
        None,
        description="the key of that API, and what Centrifugo says to the card API, at least 32 characters",
    )

    @field_validator("centrifugo_url")
    @classmethod
    def _centrifugo_address(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^/?#\s]+/?", value):
            raise ValueError(
                "is no address of a server: write it like http://centrifugo:8000, without a path"
            )
        return value

    @field_validator("centrifugo_secret")
    @classmethod
    def _centrifugo_secret_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError(
                "is too short: use at least 32 random characters (openssl rand -hex 32 makes some)"
            )
        return value


class DeskSettings(Section):
    """What the page is told. Empty: the same address it came from."""

    api_url: str = ""
    push_url: str = ""


class SimulatorSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(5038, ge=0, le=65535)
    username: str = "callcard"
    secret: SecretStr = SecretStr("callcard-demo")
    agents: int = Field(4, ge=1, le=5000)
    calls_per_minute: float = Field(9.0, gt=0)
    seed: int = 1
    noise: bool = False


class SourceSettings(Section):
    """Another system that knows customers, asked while a call comes in (docs/sources.md)."""

    url: str = Field(
        "",
        description="asked for each caller: https://crm/api/clients?phone={number}; also {number_digits}, {national}"
        " and {account}",
    )
    method: Literal["GET", "POST"] = "GET"
    body: str = Field("", description="of a POST, with the same placeholders; JSON if it begins with { or [")
    token: SecretStr | None = Field(None, description="sent as Authorization: Bearer …")
    username: str | None = Field(None, description="with password: HTTP basic authentication")
    password: SecretStr | None = None
    headers: SecretPairs = Field({}, description="further headers: X-Api-Key=…; X-Tenant=5")
    items: str = Field(
        "",
        description="JSONPath of the customers in the answer; empty: the answer itself, or each of its list",
    )
    map: Pairs = Field(
        {}, description="what is where in a customer: name=$.fio; external_id=$.id (docs/sources.md)"
    )
    deadline: float = Field(1.0, gt=0, le=10, description="seconds; what comes later still patches the card")
    priority: int = Field(
        100,
        description="of two sources that say different things the higher is shown; our own tables have 50",
    )
    cache: float = Field(30.0, ge=0, le=86_400, description="seconds an answer is good for; 0: ask each time")
    country: str | None = Field(
        None, pattern="^[A-Z]{2}$", description="of numbers in its answers, if not the general one"
    )
    verify: bool | Path = Field(
        True, description="check the server's certificate; or a file of the authorities to trust"
    )
    plugin: str | None = Field(
        None, description="entry point of group callcard.sources that asks it, in place of HTTP"
    )
    options: Pairs = Field({}, description="of the plug-in: any=thing")


class WebhookSettings(Section):
    """Telling other systems of calls and customers."""

    allow_private: bool = Field(
        True, description="may web hooks go to private addresses, where a company's own CRM stands?"
    )
    keep_delivered_days: int = Field(7, ge=1, description="how long what was delivered stays listed")
    keep_dead_days: int = Field(30, ge=1, description="how long what was given up can be replayed")


class Settings(BaseSettings):
    """All settings. Every field is `CALLCARD_` + its path in capitals, joined by `__`: CALLCARD_HTTP__PORT."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    pbx: dict[str, PbxSettings] = Field(
        {}, description="by name: CALLCARD_PBX__MAIN__HOST, …__USERNAME, …__SECRET"
    )
    sources: dict[str, SourceSettings] = Field(
        {}, description="by name: CALLCARD_SOURCES__CRM__URL, …__MAP (docs/sources.md)"
    )
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    http: HttpSettings = HttpSettings()
    api: ApiSettings = ApiSettings()
    auth: AuthSettings = AuthSettings()
    card: CardSettings = CardSettings()
    push: PushSettings = PushSettings()
    desk: DeskSettings = DeskSettings()
    simulator: SimulatorSettings = SimulatorSettings()
    webhooks: WebhookSettings = WebhookSettings()
    data_dir: Path = Field(
        Path("callcard-data"), description="embedded servers' data, spool, generated secret"
    )
    country: str = Field(
        "RU", pattern="^[A-Z]{2}$", description="ISO country of numbers without a country code"
    )
    timezone: str = "Europe/Moscow"
    language: Literal["ru", "en"] = Field("ru", description="language of greetings until an agent chooses")
    allowed_origins: Words = Field(
        [], description="other pages (a CRM) that may call the API and open the WebSocket from a browser"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON"
    )

    @field_validator("pbx")
    @classmethod
    def _pbx_names(cls, value: dict[str, PbxSettings]) -> dict[str, PbxSettings]:
        for name in value:
            # The name is a part of every call_id and of Redis keys.
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
                raise ValueError(
                    f"the name {name!r} must be small letters, digits and hyphens, at most 31 of them"
                )
        return value

    @field_validator("sources")
    @classmethod
    def _source_names(cls, value: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        for name in value:
            # With the external id the key of a customer, so it has the form that REST demands of a source.
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name):
                raise ValueError(
                    f"the name {name!r} must be small letters, digits, hyphens and underscores, at most 40 of them"
                )
            if name in ("customers", "callcard"):
                raise ValueError(f"the name {name!r} is that of our own tables: call the system otherwise")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = [init_settings, env_settings]
        config = os.environ.get("CALLCARD_CONFIG")
        if config:
            if not Path(config).is_file():
                raise SettingsError(
                    f"CALLCARD_CONFIG names {config}, which is no file. Correct the path or unset it."
                )
            sources.append(TomlConfigSettingsSource(settings_cls, Path(config)))
        return tuple(sources)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings of this process. Raises `SettingsError` with one sentence for each thing wrong."""
    _read_secret_files(os.environ)
    given = {name: value for name, value in os.environ.items() if name not in NOT_SETTINGS}
    if wrong := wrong_names(given, PREFIX, Settings):
        raise SettingsError("\n".join(wrong))
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(e) for e in error.errors())) from None
    except SettingsError:
        raise
    except Exception as error:  # a broken TOML file, a list that is not JSON
        raise SettingsError(f"The settings cannot be read: {error}") from None


def _read_secret_files(environ: Any) -> None:
    """`CALLCARD_X_FILE=/run/secrets/x` becomes `CALLCARD_X` (Docker and Kubernetes hand secrets over as files)."""
    for name in [n for n in environ if n.startswith(PREFIX) and n.endswith("_FILE")]:
        target = name.removesuffix("_FILE")
        if target in environ:
            raise SettingsError(f"Both {target} and {name} are set. Keep one of them.")
        try:
            environ[target] = Path(environ[name]).read_text().strip()
        except OSError as error:
            raise SettingsError(f"{name}: {environ[name]} cannot be read ({error.strerror}).") from None
        del environ[name]


def _sentence(error: Any) -> str:
    name = PREFIX + "__".join(str(part).upper() for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return no_setting(name, PREFIX, Settings)
    if error["type"] in ("model_type", "dict_type") and (told := group_without_value(name, PREFIX, Settings)):
        return told
    given = error.get("input")
    shown = (
        f" (given: {given!r})"
        if isinstance(given, str | int | float) and not any(word in name for word in _UNSAID)
        else ""
    )
    return f"{name}: {message[0].lower()}{message[1:]}{shown}."
