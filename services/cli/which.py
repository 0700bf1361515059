"""Which Callcard a command means: the product or the demo."""

from typing import Annotated

import typer

from shared.observability import configure_logging
from shared.settings import DatabaseSettings, RedisSettings, Settings, load_settings

Demo = Annotated[bool, typer.Option("--demo", help="Meant is the demo, not the product.")]


def settings_of(demo: bool) -> Settings:
    """The settings of the product, or of the demo; logs on a terminal."""
    settings = load_settings()
    configure_logging("warning", "console")
    return demo_folder(settings) if demo else settings


def demo_folder(settings: Settings) -> Settings:
    """Settings for the demo's own servers and data: samples must never get into a company's customers."""
    return settings.model_copy(
        update={
            "data_dir": settings.data_dir / "demo",
            "database": DatabaseSettings(),
            "redis": RedisSettings(),
        }
    )
