"""The arguments of an action, checked as they are read."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Arguments = Mapping[str, Any]
Done = dict[str, Any]


class ActionError(ValueError):
    """An action cannot be done; the text says why."""


def number_of(arguments: Arguments, name: str, missing: int | None = None) -> Decimal:
    """A number of 0 or more.

    Raises:
        ActionError: It is none.
    """
    value = arguments.get(name, missing)
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or number < 0:
        message = f"{name} is {value!r}, needed is a number of 0 or more"
        raise ActionError(message)
    return number


def text_of(arguments: Arguments, name: str) -> str:
    """A text that is not empty.

    Raises:
        ActionError: It is none.
    """
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        message = f"{name} is {value!r}, needed is a text"
        raise ActionError(message)
    return value


def flag_of(arguments: Arguments, name: str) -> bool:
    """True or false.

    Raises:
        ActionError: It is neither.
    """
    value = arguments.get(name)
    if not isinstance(value, bool):
        message = f"{name} is {value!r}, allowed is true or false"
        raise ActionError(message)
    return value


def signed_of(arguments: Arguments, name: str) -> Decimal:
    """A number that may be below 0.

    Raises:
        ActionError: It is none.
    """
    value = arguments.get(name)
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite():
        message = f"{name} is {value!r}, needed is a number"
        raise ActionError(message)
    return number
