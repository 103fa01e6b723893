"""JSON as this API reads and writes it.

Rule 1: no number passes through a binary float. Fractions become `Decimal`.

Rule 2: what two readers could understand differently is refused: a repeated field,
NaN and Infinity, half a surrogate pair, more than one value, bytes that are not UTF-8.
"""

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, NoReturn

DEPTH_MAX: Final = 32


class BadJson(ValueError):  # noqa: N818 - says what the bytes are, as the other results do
    """The bytes are not JSON that this API takes; the text says why."""


def read(data: bytes) -> object:
    """Return the value that `data` spells: dict, list, str, int, Decimal, bool or None.

    Raises:
        BadJson: when it is not exactly one strict JSON value.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8"
        raise BadJson(message) from None
    try:
        value: object = json.loads(
            text,
            parse_float=_fraction,
            parse_int=_whole,
            parse_constant=_constant,
            object_pairs_hook=_pairs,
        )
    except json.JSONDecodeError as error:
        message = f"line {error.lineno} column {error.colno}: {error.msg}"
        raise BadJson(message) from None
    except RecursionError:
        raise BadJson(_too_deep()) from None
    _check(value, 1)
    return value


def write(value: object) -> bytes:
    """Return `value` as compact JSON; decimals become strings of plain digits."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_other).encode(
        "utf-8", "replace"
    )


def canonical(value: object) -> bytes:
    """Return the one spelling of `value` that digests are made of: sorted, compact, ASCII."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, default=_other).encode("ascii")


def plain(number: Decimal) -> str:
    """Return a decimal without an exponent: `100`, never `1E+2`."""
    return format(number, "f")


def _other(value: object) -> object:
    if isinstance(value, Decimal):
        # A client's 1e999999999 must not become a billion digits in our answer.
        return plain(value) if value.is_finite() and abs(value.adjusted()) < 40 else str(value)  # noqa: PLR2004 - far beyond any amount of money
    return str(value)


def _fraction(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        message = f"the number {text[:40]} has an exponent out of range"
        raise BadJson(message) from None


def _whole(text: str) -> int:
    digits_max = 64
    if len(text) > digits_max:
        message = f"a number of {len(text)} digits, limit is {digits_max} digits"
        raise BadJson(message)
    return int(text)


def _constant(text: str) -> NoReturn:
    message = f"{text} is not a JSON number"
    raise BadJson(message)


def _pairs(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            message = f"field {json.dumps(name[:64])} is given twice"
            raise BadJson(message)
        fields[name] = value
    return fields


def _too_deep() -> str:
    return f"values nested too deeply, limit is {DEPTH_MAX} levels"


def _check(value: object, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise BadJson(_too_deep())
    match value:
        case str():
            _check_text(value)
        case dict():
            for name, inner in value.items():
                _check_text(name)
                _check(inner, depth + 1)
        case list():
            for inner in value:
                _check(inner, depth + 1)
        case _:
            return


def _check_text(text: str) -> None:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        message = "a string holds half a surrogate pair"
        raise BadJson(message)
