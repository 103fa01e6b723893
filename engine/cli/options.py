"""What the commands take: the options they share and how their texts are read.

Rule: a value that no engine could take is a usage error (exit code 2) and nothing is sent.
"""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer

from engine.cli.api import Api, ApiFailure, JsonObject, api_from_options, parse_address
from engine.cli.output import fail

P = ParamSpec("P")

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the API's JSON, one document, for programs.")
]
ExistingFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, metavar="FILE")
]

_DECIMAL: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_ACCOUNT: Final = re.compile(r"[A-Z]{1,3}[0-9]{3,10}")
_SCOPE: Final = re.compile(r"firm|(group|account|strategy):[^\s:]{1,64}|instrument:[0-9]{1,18}")


def decimal_text(text: str) -> str:
    """Check that a text is a plain decimal number, and keep every digit of it."""
    if _DECIMAL.fullmatch(text) is None:
        message = f"{text!r} is no plain decimal number, such as 100 or 0.25"
        raise typer.BadParameter(message)
    return text


Price = Annotated[str | None, typer.Option(parser=decimal_text, metavar="PRICE")]
Amount = Annotated[str | None, typer.Option(parser=decimal_text, metavar="AMOUNT")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is journaled.")]
Seconds = Annotated[
    float, typer.Option(min=0.1, max=300, metavar="SECONDS", help="With --wait: how long.")
]
WAIT_GRACE_S: Final = 5.0
"""How much longer than the engine's own wait a command waits for the answer."""
NEGATIVE: Final = {"ignore_unknown_options": True}
"""Lets -5 be a value, not an option, so that the engine says what is allowed."""


def scope_text(text: str) -> str:
    """Check that a text names a part of the firm."""
    if _SCOPE.fullmatch(text) is None:
        message = (
            f"{text!r} is no scope; allowed are firm, group:NAME, account:ID, "
            "strategy:NAME and instrument:CONID"
        )
        raise typer.BadParameter(message)
    return text


def accounts_text(text: str) -> str:
    """Check that a text lists accounts, none twice, and leave out the spaces."""
    accounts = [account.strip() for account in text.split(",")]
    for account in accounts:
        if _ACCOUNT.fullmatch(account) is None:
            message = f"{account!r} is no account id in capitals, such as DU1234567"
            raise typer.BadParameter(message)
        if accounts.count(account) > 1:
            message = f"{account} is listed twice"
            raise typer.BadParameter(message)
    return ",".join(accounts)


def _address(text: str) -> Any:
    try:
        return parse_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _option(name: str, kind: Any, **settings: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, typer.Option(rich_help_panel="The contract", **settings)],
    )


_CONTRACT: Final = (
    _option("conid", int, min=1, help="Instead of SYMBOL; it names the contract alone."),
    _option("sec_type", str, metavar="TYPE", help="STK (unless given), OPT, FUT, CASH, CRYPTO."),
    _option("exchange", str, help="Makes SYMBOL unique."),
    _option("currency", str, help="Makes SYMBOL unique."),
    _option("expiry", str, metavar="YYYYMMDD", help="A day, or a month YYYYMM."),
    _option("strike", str, parser=decimal_text, metavar="PRICE"),
    _option("right", str, metavar="C|P", help="Call or put."),
)


def takes_contract(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a contract beside its SYMBOL.

    The command's `contract` becomes those that were given, as the API names them.
    """

    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> None:
        given = {parameter.name: options.pop(parameter.name) for parameter in _CONTRACT}
        contract: JsonObject = {name: value for name, value in given.items() if value is not None}
        command(*arguments, contract=contract, **options)

    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "contract"]
    wrapped.__signature__ = signature.replace(  # type: ignore[attr-defined]  # a function takes it
        parameters=[*own, *_CONTRACT]
    )
    return wrapped


def check_contract(symbol: str | None, contract: JsonObject) -> None:
    """Refuse a contract that is named by both SYMBOL and --conid, or by neither."""
    if symbol is not None and symbol.startswith("-"):
        message = f"there is no option {symbol}"
        raise typer.BadParameter(message)
    if (symbol is None) == ("conid" not in contract):
        message = "name the contract by SYMBOL or by --conid, by exactly one of them"
        raise typer.BadParameter(message)
    if "conid" in contract and len(contract) > 1:
        others = ", ".join(f"--{name.replace('_', '-')}" for name in contract if name != "conid")
        message = f"{others} goes with SYMBOL; a conid is unique"
        raise typer.BadParameter(message)


_PANEL: Final = "The engine to ask"
_CONNECTION: Final = (
    inspect.Parameter(
        "address",
        inspect.Parameter.KEYWORD_ONLY,
        default="http://127.0.0.1:8700",
        annotation=Annotated[
            Any,
            typer.Option(
                "--api",
                envvar="ENGINE_API",
                parser=_address,
                metavar="URL",
                help="Where its API listens.",
                rich_help_panel=_PANEL,
            ),
        ],
    ),
    inspect.Parameter(
        "token_file",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            Path | None,
            typer.Option(
                metavar="FILE",
                help="Holds the API token; without it, ENGINE_TOKEN or the state directory's.",
                rich_help_panel=_PANEL,
            ),
        ],
    ),
    inspect.Parameter(
        "state_dir",
        inspect.Parameter.KEYWORD_ONLY,
        default=Path("state"),
        annotation=Annotated[
            Path,
            typer.Option(
                envvar="ENGINE_STATE_DIR",
                metavar="DIR",
                help="The engine's state directory, where its token is.",
                rich_help_panel=_PANEL,
            ),
        ],
    ),
    inspect.Parameter(
        "ca_file",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            Path | None,
            typer.Option(
                exists=True,
                dir_okay=False,
                metavar="FILE",
                help="Certificates that an https API is checked against.",
                rich_help_panel=_PANEL,
            ),
        ],
    ),
)


def calls_api(command: Callable[Concatenate[Api, P], None]) -> Callable[..., None]:
    """Give a command the options that name the engine, and the API they lead to.

    The command's first parameter becomes those options. An `ApiFailure` that leaves the
    command is printed, and the exit code is 1.
    """

    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> None:
        connection = {parameter.name: options.pop(parameter.name) for parameter in _CONNECTION}
        try:
            command(api_from_options(**connection), *arguments, **options)
        except ApiFailure as failure:
            fail(str(failure))

    signature = inspect.signature(command)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(signature.parameters.values())[1:]
    ]
    # Typer reads options from the signature alone.
    wrapped.__signature__ = signature.replace(  # type: ignore[attr-defined]  # a function takes it
        parameters=[*own, *_CONNECTION]
    )
    return wrapped
