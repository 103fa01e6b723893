"""`engine halt` and `engine resume`: restrict a part of the firm, and lift it again."""

from enum import StrEnum
from typing import Annotated

import typer

from engine.cli.api import Api, JsonObject
from engine.cli.options import JsonOption, calls_api, scope_text
from engine.cli.output import print_json, say, shown

ScopeOption = Annotated[
    str,
    typer.Option(
        parser=scope_text,
        metavar="SCOPE",
        help="firm, group:NAME, account:ID, strategy:NAME or instrument:CONID.",
    ),
]
ReasonOption = Annotated[str, typer.Option(help="Why, for the journal and whoever looks next.")]


class Level(StrEnum):
    """How far a halt goes."""

    REDUCE_ONLY = "reduce_only"
    CANCEL_ONLY = "cancel_only"
    HALT = "halt"


@calls_api
def halt(
    api: Api,
    *,
    scope: ScopeOption,
    level: Annotated[Level, typer.Option(help="The strictest of all scopes is in force.")],
    reason: ReasonOption,
    cancel_working: Annotated[
        bool, typer.Option("--cancel-working", help="Also cancel its open orders.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restrict a part of the firm until it is resumed. Cancels always pass."""
    body: JsonObject = {
        "scope": scope,
        "level": level,
        "reason": reason,
        "cancel_working": cancel_working,
    }
    answer = api.request("POST", "/v1/halt", body=body)
    if as_json:
        print_json(answer)
        return
    text = f"{scope} is at {level}"
    if cancel_working:
        text += f"; cancels asked for: {shown(answer.part('cancels_requested'))}"
    say(text)


@calls_api
def resume(
    api: Api,
    *,
    scope: ScopeOption,
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """Lift the halt of exactly this scope; wider ones stay in force."""
    answer = api.request("POST", "/v1/resume", body={"scope": scope, "reason": reason})
    if as_json:
        print_json(answer)
    elif answer.part("resumed"):
        say(f"{scope} is resumed")
    else:
        say(f"{scope} was not halted")
