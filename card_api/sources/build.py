"""Sources from the settings."""

from collections.abc import Callable
from importlib.metadata import entry_points

from card_api.metrics import Metrics
from card_api.sources.http import http_source
from card_api.sources.source import Source
from card_api.sources.watch import WatchedSource
from shared.settings import Settings, SettingsError, SourceSettings

GROUP = "callcard.sources"
"""Entry points of this group are factories of sources."""

Factory = Callable[[str, SourceSettings, Settings], Source]
"""(name, its settings, all settings) → the source. Raises `SettingsError` with a sentence a mistake."""


def build_sources(settings: Settings, metrics: Metrics) -> list[WatchedSource]:
    """All that the settings name. Raises `SettingsError` with one sentence a mistake, for all sources together."""
    sources, wrong = [], []
    for name, own in settings.sources.items():
        try:
            source = _factory(name, own)(name, own, settings)
        except SettingsError as error:
            wrong.append(str(error))
        else:
            sources.append(WatchedSource(source, own.cache, metrics))
    if wrong:
        raise SettingsError("\n".join(wrong))
    return sources


def _factory(name: str, settings: SourceSettings) -> Factory:
    if settings.plugin is None:
        return http_source
    found = list(entry_points(group=GROUP, name=settings.plugin))
    if not found:
        installed = ", ".join(sorted({point.name for point in entry_points(group=GROUP)})) or "none"
        raise SettingsError(
            f"CALLCARD_SOURCES__{name.upper()}__PLUGIN: no plug-in {settings.plugin!r} is installed here (installed: "
            f"{installed})."
        )
    try:
        factory: Factory = found[0].load()
    except Exception as error:  # whatever its import raises
        raise SettingsError(
            f"CALLCARD_SOURCES__{name.upper()}__PLUGIN: {settings.plugin!r} cannot be loaded: {error}."
        ) from None
    return factory
