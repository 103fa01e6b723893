"""What may be shown of an answer: to a person, in a log, on a status page.

Rule 1: the session's token, the user's names and addresses and the machine's are never
shown, also when the document around them is cut off or is none.

Rule 2: redaction comes before shortening, so that no cut makes a secret unrecognisable.
"""

import re
from typing import Final

from engine.log import mask_account

_HIDDEN: Final = "***"
_READ_BYTES_MAX: Final = 1280
_PARTS: Final = (
    r"session|token|cookie|credential|password|secret|authorization|hardware_?info|user_?name"
    r"|user_?id|servername"
)
_MEMBER: Final = re.compile(
    rf"""(\\*"(?:id|mac|ip|user|api|[\w-]*(?:{_PARTS})[\w-]*)\\*"\s*:\s*)"""
    r"""(?:"(?:[^"\\]|\\.?)*"?|\\+"[^"]*"?|[{\[].*|[^\s,}\]]+)""",
    re.IGNORECASE,
)
"""A secret member of a JSON object, of one inside a JSON text, or of one that is cut off."""
_ASSIGNED: Final = re.compile(
    rf"\b((?:mac|ip|user|api|[\w-]*(?:{_PARTS})[\w-]*)=|bearer |basic )[^\s,;&<>\"']+",
    re.IGNORECASE,
)
"""A secret in a cookie, a query or a header."""
_SHAPES: Final = re.compile(
    r"\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b"
    r"|\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b"
    r"|\b[0-9a-f]{24,}"
    r"|\b(?=[a-z_+/-]*[0-9])[\w+/-]{32,}={0,2}",
    re.IGNORECASE | re.ASCII,
)
"""What is a secret wherever it stands: hardware and network addresses, tokens. Our own
order ids on the wire are shorter than 32 characters."""
_CUT_WORD: Final = re.compile(r"\S*\Z")


def redact(text: str) -> str:
    """Return `text` without the secrets in it, and with account numbers masked."""
    text = _MEMBER.sub(rf'\1"{_HIDDEN}"', text)
    text = _ASSIGNED.sub(rf"\1{_HIDDEN}", text)
    return mask_account(_SHAPES.sub(_HIDDEN, text))


def excerpt(body: bytes, characters_max: int = 80) -> str:
    """Return the beginning of an answer on one line, redacted, for a message to a person."""
    words = " ".join(body[:_READ_BYTES_MAX].decode("utf-8", "replace").split())
    text = redact("".join(character for character in words if character.isprintable()))
    if len(body) > _READ_BYTES_MAX:
        # The end may be the beginning of a secret, too short to be recognised.
        text = _CUT_WORD.sub("", text) or text[:characters_max]
    return text if len(text) <= characters_max else text[:characters_max] + "..."
