"""Reading the broker's JSON, whatever type it chose today.

Rule 1: the gateway's builds differ in types: an id is a number or a string, a number is a
number, a string, `""`, `"None"` or `"1,300"`. All of that is read; nothing else is.

Rule 2: a number is made from its text, never through a binary float.

Rule 3: absent and blank are None. What is there and cannot be read is an error, because
an order must not be judged by half a row.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from engine.gateway.wire.excerpt import redact

Row: TypeAlias = Mapping[str, object]

_BLANK: Final = frozenset({"", "none", "null", "n/a"})
_NUMBER: Final = re.compile(
    r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?"
)
_MAGNITUDE_MAX: Final = 18
_DIGITS_MAX: Final = 28
"""More would be rounded by the arithmetic that the number is for."""
_SMALLEST: Final = Decimal("1e-8")
"""Nothing is priced or counted in finer steps; a division by less could leave the digits
that decimal arithmetic has, and would raise."""
_ID_MAX: Final = 64
_TEXT_MAX: Final = 500


class BadAnswer(Exception):  # noqa: N818 - says what was received, not that we failed
    """The broker's answer lacks something needed, or has it in a form nobody can read."""


def _exact(text: str) -> Decimal | str:
    """Keep a JSON number exactly; one with an absurd exponent stays text and is refused."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return text


_DECODER: Final = msgspec.json.Decoder(float_hook=_exact)


def decode(body: bytes) -> object:
    """Return the document. Raises `BadAnswer` when `body` is not one whole JSON document."""
    try:
        document: object = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"not JSON ({error})"
        raise BadAnswer(message) from error
    return document


def as_row(value: object, what: str) -> Row:
    """Return `value` as an object with members. Raises `BadAnswer` when it is none."""
    if isinstance(value, dict):
        return value
    message = f"{what} is {type(value).__name__}, expected an object"
    raise BadAnswer(message)


def as_rows(value: object, what: str) -> tuple[Row, ...]:
    """Return the objects of an array. Raises `BadAnswer` when it is not an array of objects."""
    if not isinstance(value, list):
        message = f"{what} is {type(value).__name__}, expected an array"
        raise BadAnswer(message)
    return tuple(as_row(item, f"{what}[{index}]") for index, item in enumerate(value))


def rows_in(value: object) -> Iterator[Row]:
    """Yield the objects of an array or the single bare object; anything else is skipped."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item


def is_blank(value: object) -> bool:
    """Tell whether a member says nothing: null, or one of the broker's words for it."""
    return value is None or (isinstance(value, str) and value.strip().lower() in _BLANK)


def text(row: Row, key: str) -> str | None:
    """Return a member as text, None when it is absent or blank; whole numbers count as text."""
    value = row.get(key)
    if is_blank(value) or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal) and (exact := _number(value)) is not None and _is_whole(exact):
        return format(exact, "f")
    message = f"{key} is {_shown(value)}, expected a text"
    raise BadAnswer(message)


def need_text(row: Row, *keys: str) -> str:
    """Return the first of these members that is there. Raises `BadAnswer` when none is."""
    for key in keys:
        if (value := text(row, key)) is not None:
            return value
    message = f"{' and '.join(keys)} missing"
    raise BadAnswer(message)


def identifier(row: Row, *keys: str) -> str | None:
    """Return the first of these members that is there, as an id; None when none is.

    Raises `BadAnswer` when it is longer than any id of the broker.
    """
    found = next(((key, value) for key in keys if (value := text(row, key)) is not None), None)
    if found is None:
        return None
    key, value = found
    if len(value) > _ID_MAX:
        message = f"{key} has {len(value)} characters, at most {_ID_MAX}"
        raise BadAnswer(message)
    return value


def need_identifier(row: Row, *keys: str) -> str:
    """Return an id that must be there. Raises `BadAnswer` when it is not."""
    value = identifier(row, *keys)
    if value is None:
        message = f"{' and '.join(keys)} missing"
        raise BadAnswer(message)
    return value


def number(row: Row, key: str) -> Decimal | None:
    """Return a member as an exact number, None when absent or blank.

    Raises `BadAnswer` when it is there and is no number of at most 18 places before the
    point: nothing that is traded is larger.
    """
    value = row.get(key)
    if is_blank(value):
        return None
    exact = _number(value)
    if exact is None:
        message = f"{key} is {_shown(value)}, expected a number"
        raise BadAnswer(message)
    return exact


def loose_number(row: Row, key: str) -> Decimal | None:
    """Return a number that nothing is decided by; None also when it cannot be read."""
    return _number(row.get(key))


def need_number(row: Row, key: str) -> Decimal:
    """Return a number that must be there. Raises `BadAnswer` when it is not."""
    value = number(row, key)
    if value is None:
        message = f"{key} missing"
        raise BadAnswer(message)
    return value


def positive(row: Row, key: str) -> Decimal | None:
    """Return a size or a step, None when absent or blank.

    Raises `BadAnswer` below 0.00000001: by such a number nothing can be counted or divided.
    """
    value = number(row, key)
    if value is not None and value < _SMALLEST:
        message = f"{key} is {value}, at least {_SMALLEST:f}"
        raise BadAnswer(message)
    return value


def need_positive(row: Row, key: str) -> Decimal:
    """Return a size or a step that must be there. Raises `BadAnswer` when it is not."""
    value = positive(row, key)
    if value is None:
        message = f"{key} missing"
        raise BadAnswer(message)
    return value


def not_negative(row: Row, key: str) -> Decimal | None:
    """Return a total, None when absent or blank. Raises `BadAnswer` below zero."""
    value = number(row, key)
    if value is not None and value < 0:
        message = f"{key} is {value}, at least 0"
        raise BadAnswer(message)
    return value


def whole(row: Row, key: str) -> int | None:
    """Return a whole number, None when absent or blank. Raises `BadAnswer` on a fraction."""
    value = number(row, key)
    if value is None:
        return None
    if not _is_whole(value):
        message = f"{key} is {value}, expected a whole number"
        raise BadAnswer(message)
    return int(value)


def need_whole(row: Row, key: str) -> int:
    """Return a whole number that must be there. Raises `BadAnswer` when it is not."""
    value = whole(row, key)
    if value is None:
        message = f"{key} missing"
        raise BadAnswer(message)
    return value


def need_conid(row: Row, key: str) -> int:
    """Return the id of a contract. Raises `BadAnswer` when it is missing or not above zero."""
    value = need_whole(row, key)
    if value <= 0:
        message = f"{key} is {value}, a contract's id is above 0"
        raise BadAnswer(message)
    return value


def flag(row: Row, key: str) -> bool | None:
    """Return a yes or no, None when absent; `1` and `"true"` are what some builds write."""
    value = row.get(key)
    if isinstance(value, bool):
        return value
    if value in (1, "1", "true", "True"):
        return True
    if value in (0, "0", "false", "False"):
        return False
    return None


def sentence(value: object) -> str:
    """Return a broker's text on one line, shortened; what is not text gives an empty one."""
    return " ".join(value.split())[:_TEXT_MAX] if isinstance(value, str) else ""


def _shown(value: object) -> str:
    """Return a value that could not be read, for a message; of a container only its kind."""
    if isinstance(value, list | dict):
        return type(value).__name__
    return repr(redact(str(value)[:_TEXT_MAX])[:40])


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        exact = Decimal(value)
    elif isinstance(value, Decimal):
        exact = value
    elif isinstance(value, str):
        stripped = value.strip()
        if not _NUMBER.fullmatch(stripped) or not any(map(str.isdigit, stripped)):
            return None
        try:
            exact = Decimal(stripped.replace(",", ""))
        except ArithmeticError:
            return None
    else:
        return None
    if not exact.is_finite() or len(exact.as_tuple().digits) > _DIGITS_MAX:
        return None
    if exact and not -_MAGNITUDE_MAX <= exact.adjusted() < _MAGNITUDE_MAX:
        return None
    return _plain(exact)


def _is_whole(value: Decimal) -> bool:
    return value == value.to_integral_value()


def _plain(value: Decimal) -> Decimal:
    """Drop what only the broker's formatting added: `10.0` is ten, and is shown as `10`."""
    whole_value = value.to_integral_value()
    return Decimal(int(whole_value)) if value == whole_value else value.normalize()
