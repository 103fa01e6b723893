"""Which of the broker's error texts prove what. Extend it from recordings only.

Rule 1: a text that is not in a table proves nothing. The order is IN_DOUBT then, and
looked up.

Rule 2: a text that promises "not live" counts only with HTTP 200 and 400. The same words
beside a 5xx come from a backend that may still act.
"""

import re
from dataclasses import dataclass
from typing import Final

_REFUSING_STATUSES: Final = (200, 400)


@dataclass(frozen=True, slots=True)
class KnownText:
    """A text of the broker, and the stable code that the engine reports for it."""

    code: str
    pattern: re.Pattern[str]


def _known(code: str, pattern: str) -> KnownText:
    return KnownText(code, re.compile(pattern, re.IGNORECASE))


ALREADY_REGISTERED: Final = _known("ALREADY_REGISTERED", r"local order id=.* already registered")
"""The cOID was used before: an order with it exists, so look it up."""

_REFUSED: Final = (
    _known("LIMIT_PRICE_REFUSED", r"cannot accept an order at the limit price"),
    _known("NOT_CONFIRMED", r"^order not confirmed"),
    _known("ACCOUNT_INVALID", r"accountid is not valid|invalid account id"),
    _known("INSTRUMENT_INVALID", r"conid is not valid"),
    # Error 110 of the broker's trading platform.
    _known("PRICE_INCREMENT", r"does not conform to the minimum price variation"),
    # Error 201 of the broker's trading platform, with its usual reasons.
    _known("INSUFFICIENT_FUNDS", r"^your order is not accepted\b.*(margin|equity|funds)"),
    _known("NO_TRADING_PERMISSION", r"no trading permission"),
    _known("TOO_MANY_WORKING_ORDERS", r"working orders per side|orders? .* same side .* 15\b"),
    _known("FRACTION_REFUSED", r"fractional-sized order cannot be placed"),
    # Errors 387, 10052 and 10244 of the broker's trading platform.
    _known("ORDER_TYPE_UNSUPPORTED", r"unsupported order type|^order type \S+ is not supported"),
    _known("TIF_UNSUPPORTED", r"^invalid time in force"),
    _known("CASH_QUANTITY_UNSUPPORTED", r"^cash quantity cannot be used"),
    # Errors 439, 441, 442 and 443 of the broker's trading platform.
    _known(
        "ALGO_INVALID",
        r"algorithm definition not found|^algo attributes validation failed"
        r"|^specified algorithm is not allowed|unknown algo attribute",
    ),
)
"""The broker refused the order; nothing is live."""

_DOUBTFUL: Final = (
    _known("REPLY_ID_NOT_FOUND", r"reply id not found"),
    _known("NO_BRIDGE", r"no bridge|init session first"),
    _known("NOT_PRIMED", r"query /accounts first"),
)
"""Known words that say why it failed, and not whether the order is live."""

_CANCEL_REFUSED: Final = (
    _known("ORDER_UNKNOWN", r"orderid \S+ doesn'?t exist"),
    _known("ORDER_INACTIVE", r"^order is inactive"),
    # Errors 136, 161 and 10148 of the broker's trading platform: it is filled, or over, or
    # being cancelled already. Which of these, a look at the order tells.
    _known(
        "NOT_CANCELLABLE",
        r"^this order cannot be cancell?ed|not in a cancell?able state"
        r"|needs to be cancell?ed (?:can not|cannot) be cancell?ed",
    ),
)
"""The cancel found nothing to cancel; it does not prove that the order is dead."""

_MODIFY_REFUSED: Final = (
    *_CANCEL_REFUSED,
    # Errors 104 and 105 of the broker's trading platform. An order that is being cancelled
    # is refused in the same words.
    _known("NOT_MODIFIABLE", r"can(?:no|')t (?:be )?modif(?:y|ied)|cannot be edited"),
    _known("CHANGE_REFUSED", r"order being modified does not match"),
)
"""The modify changed nothing; it does not say what became of the order."""

ABOUT_RULES: Final = frozenset(
    {
        "PRICE_INCREMENT",
        "FRACTION_REFUSED",
        "ORDER_TYPE_UNSUPPORTED",
        "TIF_UNSUPPORTED",
        "CASH_QUANTITY_UNSUPPORTED",
        "ALGO_INVALID",
    }
)
"""Codes that say that the broker goes by other trading rules than we do."""


def refusal_code(text: str, status: int) -> str | None:
    """Return the code of a text that proves a submit or a reply refused, else None."""
    return _first(_REFUSED, text) if status in _REFUSING_STATUSES else None


def cancel_refusal_code(text: str, status: int) -> str | None:
    """Return the code of a text that proves a cancel refused, else None."""
    return _first(_CANCEL_REFUSED, text) if status in _REFUSING_STATUSES else None


def modify_refusal_code(text: str, status: int) -> str | None:
    """Return the code of a text that proves a modify refused, else None.

    New terms are refused for what new orders are refused for, too.
    """
    if status not in _REFUSING_STATUSES:
        return None
    return _first(_MODIFY_REFUSED, text) or refusal_code(text, status)


def doubt_code(text: str) -> str | None:
    """Return the code of a known text that leaves the outcome open, else None."""
    return _first(_DOUBTFUL, text)


def _first(table: tuple[KnownText, ...], text: str) -> str | None:
    return next((known.code for known in table if known.pattern.search(text)), None)
