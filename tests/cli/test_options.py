"""How the commands read what is typed."""

from collections.abc import Callable

import pytest
import typer

from engine.cli.options import accounts_text, check_contract, decimal_text, scope_text


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (decimal_text, "100"),
        (decimal_text, "0.10"),
        (decimal_text, "-0.5"),
        (decimal_text, "123456789012345678.123456789012345678"),
        (scope_text, "firm"),
        (scope_text, "group:desk-1"),
        (scope_text, "account:DU1234567"),
        (scope_text, "strategy:pairs.v2"),
        (scope_text, "instrument:265598"),
        (accounts_text, "DU1111111,U123"),
    ],
)
def test_a_good_text_is_kept_as_it_is(read: Callable[[str], str], text: str) -> None:
    assert read(text) == text


def test_spaces_between_accounts_are_left_out() -> None:
    assert accounts_text(" DU1111111 , DU2222222") == "DU1111111,DU2222222"


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (decimal_text, "ten", "'ten' is no plain decimal number, such as 100 or 0.25"),
        (decimal_text, "1_000", "'1_000' is no plain"),
        (decimal_text, "Infinity", "'Infinity' is no plain"),
        (decimal_text, "\u0661", "is no plain"),
        (decimal_text, "1\n", "is no plain"),
        (decimal_text, "1" * 19, "is no plain"),
        (scope_text, "desk", "'desk' is no scope; allowed are firm, group:NAME, account:ID"),
        (accounts_text, "DU1", "'DU1' is no account id in capitals, such as DU1234567"),
        (accounts_text, "DU111,DU111", "DU111 is listed twice"),
    ],
)
def test_a_bad_text_is_a_usage_error_that_says_what_is_allowed(
    read: Callable[[str], str], text: str, message: str
) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        read(text)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("symbol", "contract", "message"),
    [
        (None, {}, "by exactly one of them"),
        ("AAPL", {"conid": 1}, "by exactly one of them"),
        (None, {"conid": 1, "sec_type": "OPT", "right": "C"}, "--sec-type, --right goes with"),
        ("--wat", {}, "there is no option --wat"),
    ],
)
def test_a_contract_is_named_once_and_by_a_name(
    symbol: str | None, contract: dict[str, object], message: str
) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        check_contract(symbol, contract)

    assert message in str(caught.value)


def test_a_conid_alone_or_a_symbol_with_its_particulars_names_a_contract() -> None:
    check_contract(None, {"conid": 265598})
    check_contract("AAPL", {"sec_type": "OPT", "expiry": "202612"})
