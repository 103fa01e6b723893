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

from engine.cli.api import Api, ApiFailure, api_from_options, parse_address
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
