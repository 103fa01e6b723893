"""Structured logs: one JSON line an event, account numbers masked, secrets never.

Both hold at any depth: in lists, in members of members, in the texts of exceptions.

A line that cannot be written, on a full disk or into a pipe that nobody reads any more, is
dropped: whoever logs has more important things to do. The next that can be written is led
by one that says how many there were.

An event's name is in the past tense, its values are keyword arguments:
`log.info("order_filled", order_id=..., filled_quantity=...)`.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import Mapping
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

_ACCOUNT: Final = re.compile(r"(?<![A-Za-z0-9])(DU|DF|U|F)(\d{3,})(\d{4})(?![A-Za-z0-9])")
_SECRET_KEYS: Final = frozenset(
    {
        "token", "stream_token", "access_token", "authorization", "password", "secret", "cookie",
        "set-cookie", "session_id", "api_key",
    }
)  # fmt: skip
_DEPTH_MAX: Final = 8
_HIDDEN: Final = "***"


def mask_account(text: str) -> str:
    """Replace the middle of every account number in `text`: `DU1234567` to `DU***4567`."""
    return _ACCOUNT.sub(r"\1***\3", text)


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: _masked_member(key, value, 0) for key, value in event.items()}


def _masked_member(key: object, value: object, depth: int) -> object:
    is_secret = isinstance(key, str) and key.lower() in _SECRET_KEYS
    return _HIDDEN if is_secret else _masked(value, depth)


def _masked(value: object, depth: int) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return mask_account(value)
        case Mapping() | list() | tuple() if depth == _DEPTH_MAX:
            # Deeper is nothing that a person reads, or a value that contains itself.
            return "..."
        case Mapping():
            return {
                mask_account(str(key)): _masked_member(key, member, depth + 1)
                for key, member in value.items()
            }
        case list() | tuple():
            return [_masked(member, depth + 1) for member in value]
        case BaseException():
            return mask_account(f"{type(value).__name__}: {value}")
        case _:
            return mask_account(str(value))


class _Lines:
    """Writes lines; it raises nothing, and counts what it could not write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0
        self._writing = threading.Lock()  # The journal has threads of its own.

    def msg(self, line: str) -> None:
        """Write a line, and before it how many were lost."""
        with self._writing:
            try:
                if self._lost:
                    told = {"event": "log_lines_lost", "lines": self._lost, "level": "error"}
                    self._write(json.dumps(told))
                    self._lost = 0
                self._write(line)
            except (OSError, ValueError):  # The latter for a stream that was closed.
                self._lost += 1

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()

    debug = info = warning = error = critical = exception = msg


def configure(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send log lines of `level` and above to `stream`, standard error by default."""
    lines = _Lines(stream or sys.stderr)
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
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a part of the engine; `name` is its file in the grid."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger
