"""`engine sessions`: the gateway sessions, why one is not ready, and letting it try again."""

from typing import Annotated

import typer

from engine.cli.api import Api, JsonObject, in_path
from engine.cli.options import JsonOption, calls_api
from engine.cli.output import Column, age, column, print_json, print_table, say, shown

commands = typer.Typer(help="List the gateway sessions; let a locked one try again.")


def _login(row: JsonObject) -> str:
    """Write by when a login ends or is needed, and how many were refused in a row."""
    failures = row.get("login_failures") or 0
    refused = f" ({failures} refused)" if failures else ""
    return f"{shown(row.get('login_by'))}{refused}"


COLUMNS = (
    column("session", "name"),
    column("state"),
    Column(title="since", cell=lambda row: age(row, "since"), right=True),
    column("reason", wraps=True),
    column("accounts"),
    column("gateway"),
    column("epoch", right=True),
    column("socket", "socket_connected"),
    Column(title="login by", cell=_login),
    column("no submits until", "no_submit_until"),
)


@commands.callback(invoke_without_command=True)
@calls_api
def sessions(api: Api, *, context: typer.Context, as_json: JsonOption = False) -> None:
    """List the gateway sessions: their states, and why one is not ready."""
    if context.invoked_subcommand is not None:
        return
    answer = api.get("/v1/sessions")
    if as_json:
        print_json(answer)
    else:
        print_table(COLUMNS, answer.part("sessions"), none="no session is configured")


@commands.command("retry")
@calls_api
def retry(
    api: Api,
    *,
    name: Annotated[str, typer.Argument(metavar="SESSION")],
    reason: Annotated[str, typer.Option(help="Why, for the journal and whoever looks next.")],
    as_json: JsonOption = False,
) -> None:
    """Let a session that is locked out of its login try again, and take over once more."""
    answer = api.request("POST", f"/v1/sessions/{in_path(name)}/login", body={"reason": reason})
    if as_json:
        print_json(answer)
    else:
        say(f"session {name} may log in again; it is {shown(answer.part('state'))}")
