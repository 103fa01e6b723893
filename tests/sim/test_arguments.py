from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from engine.sim.arguments import ActionError, flag_of, number_of, signed_of, text_of


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (number_of, "1.5", Decimal("1.5")),
        (signed_of, -3, Decimal(-3)),
        (text_of, "x", "x"),
        (flag_of, False, False),
    ],
)
def test_an_argument_is_read(read: Callable[..., Any], value: object, result: object) -> None:
    assert read({"it": value}, "it") == result


@pytest.mark.parametrize(
    ("read", "value", "said"),
    [
        (number_of, -1, "it is -1, needed is a number of 0 or more"),
        (number_of, True, "it is True, needed is a number of 0 or more"),
        (signed_of, "x", "it is 'x', needed is a number"),
        (signed_of, "inf", "it is 'inf', needed is a number"),
        (text_of, "", "it is '', needed is a text"),
        (flag_of, 1, "it is 1, allowed is true or false"),
    ],
)
def test_what_is_no_such_argument_is_said(
    read: Callable[..., Any], value: object, said: str
) -> None:
    with pytest.raises(ActionError, match=said.replace("(", r"\(")):
        read({"it": value}, "it")
