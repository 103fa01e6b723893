"""The bearer token: what a client must show, and what it may do.

Rule 1: the engine keeps the digest only. The token itself is in the file, or in the
operator's environment, and never in a log, an error or a `repr`.

Rule 2: the file is made once, for its owner only, and never written over.
"""

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from engine import log as engine_log
from engine.domain.values import Mode

log = engine_log.get("api.token")

VARIABLE: Final = "ENGINE_TOKEN"
FILE_NAME: Final = "token"

_BYTES: Final = 32
_LENGTH_MAX: Final = 4096
_LENGTH_MIN_LIVE: Final = 16


class TokenScope(StrEnum):
    """What a token allows."""

    READ = "read"
    FULL = "full"


class TokenError(Exception):
    """The token cannot be used or made; the text says what to do and shows no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of the one valid token. `digest` is its SHA-256."""

    digest: bytes
    scope: TokenScope

    @property
    def id(self) -> str:
        """The name of this token in the audit log: the first 8 hex digits of its digest."""
        return self.digest.hex()[:8]

    def matches(self, presented: str) -> bool:
        """True when `presented` is the token; takes the same time for every wrong one."""
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(digest, self.digest)


def load_or_make_token(state_dir: Path, environ: Mapping[str, str], *, mode: Mode) -> Token:
    """Return the token of `ENGINE_TOKEN` unless that is empty, else of `<state_dir>/token`.

    The file is made when it is missing. The token that the engine makes allows everything
    in paper mode and only reading in live mode; one that the operator set in the
    environment is a decision and allows everything in both.

    Raises:
        TokenError: when there is a token that cannot be used, or none can be made.
    """
    given = environ.get(VARIABLE, "").strip()
    if given:
        _check(given, VARIABLE, mode)
        return _token(given, TokenScope.FULL)
    scope = TokenScope.FULL if mode is Mode.PAPER else TokenScope.READ
    path = state_dir / FILE_NAME
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = _make(path) or _read(path)
    except OSError as error:
        message = f"{path}: the API token cannot be read or made: {error.strerror}"
        raise TokenError(message) from error
    _check(text, str(path), mode)
    return _token(text, scope)


def _token(text: str, scope: TokenScope) -> Token:
    return Token(digest=hashlib.sha256(text.encode()).digest(), scope=scope)


def _make(path: Path) -> str | None:
    """Write a new token; None when the file is already there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return None
    text = secrets.token_urlsafe(_BYTES)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    log.info("token_made", path=str(path))
    return text


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            message = f"{path} is not a regular file; the API token must be in one"
            raise TokenError(message)
        if status.st_mode & 0o077:
            # A volume that is mounted for a group gets its files opened to the group.
            os.fchmod(file.fileno(), 0o600)
            log.warning("token_file_closed", path=str(path), mode=f"{status.st_mode & 0o777:04o}")
        content = file.read(_LENGTH_MAX + 2)
    try:
        return content.decode("ascii").strip()
    except UnicodeDecodeError:
        message = f"{path}: the API token is not ASCII text"
        raise TokenError(message) from None


def _check(text: str, where: str, mode: Mode) -> None:
    length_min = _LENGTH_MIN_LIVE if mode is Mode.LIVE else 1
    if not text:
        message = f"{where} is empty; delete it and start again to have a token made"
        raise TokenError(message)
    if not length_min <= len(text) <= _LENGTH_MAX:
        message = (
            f"{where}: the API token has {len(text)} characters, "
            f"allowed are {length_min} to {_LENGTH_MAX} characters in {mode} mode"
        )
        raise TokenError(message)
    if not all("!" <= character <= "~" for character in text):
        message = f"{where}: the API token may hold only printable ASCII without spaces"
        raise TokenError(message)
