"""Structured logs and what may stand in them."""

import logging
import re
import sys
from typing import Any, Literal, TextIO, cast

import structlog

LogFormat = Literal["auto", "json", "console"]

# Some systems can carry their API key only in a URL; wherever that is logged, no more of it is seen than lists show.
_API_KEY = re.compile(r"(cck_[A-Za-z0-9_-]{6})[A-Za-z0-9_-]+")


def configure_logging(
    level: str = "info", log_format: LogFormat = "auto", stream: TextIO | None = None
) -> None:
    """One line a log entry on stderr: JSON for machines, colours for a terminal. Call once, in the command."""
    out = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor = (
        # Plain: the pretty one prints local variables, and those hold numbers and names.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([] if console else [structlog.processors.format_exc_info]),
            renderer,
            cast("structlog.typing.Processor", _without_keys),
        ],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "uvicorn.access", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _without_keys(_: Any, __: str, line: str) -> str:
    """The finished line, tracebacks and what libraries log included."""
    return _API_KEY.sub(r"\1…", line)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; bind `call_id` and `pbx` where they are known."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return bound


def mask_number(number: str | None) -> str | None:
    """`+7903…67`: enough to find a call again, not enough to ring anybody."""
    if number is None or len(number) <= 6:
        return number  # an extension is no personal data
    return f"{number[:5]}…{number[-2:]}"
