"""Structured logs: one JSON line an event, account numbers masked, secrets never.

An event's name is in the past tense, its values are keyword arguments:
`log.info("order_filled", order_id=..., filled_quantity=...)`.
"""

import logging
import re
import sys
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

_ACCOUNT: Final = re.compile(r"\b(DU|DF|U|F)(\d{3,})(\d{4})\b")
_SECRET_KEYS: Final = frozenset({"token", "authorization", "password", "cookie", "session_id"})


def mask_account(text: str) -> str:
    """Replace the middle of every account number in `text`: `DU1234567` to `DU***4567`."""
    return _ACCOUNT.sub(r"\1***\3", text)


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = mask_account(value)
    return event


def configure(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send log lines of `level` and above to `stream`, standard error by default."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a part of the engine; `name` is its file in the grid."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger
