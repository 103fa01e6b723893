"""`engine risk`: are the limits good, and which are in force."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.api import Api, in_path
from engine.cli.options import JsonOption, calls_api
from engine.cli.output import column, note, print_fields, print_json, print_table, say

commands = typer.Typer(no_args_is_help=True, help="Check risk.yaml; show limits in force.")

COLUMNS = (column("limit", "name"), column("value", right=True), column("source"))


@commands.command("lint")
def lint(*, file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Check a limits file and name everything that is wrong with it."""
    # Only the commands that read files pay for loading the models.
    from engine.cli import files  # noqa: PLC0415 - see above

    policy = files.read_policy(file)
    say(f"{file} is good: version {policy.version}")


@commands.command("show")
@calls_api
def show(
    api: Api,
    *,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read this limits file, ask no engine."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the limits of an account, each with the file and line that says it."""
    if file is not None:
        from engine.cli import files  # noqa: PLC0415 - as in `lint`

        limits = asdict(files.read_limits(file, account))
        if as_json:
            typer.echo(json.dumps(limits))
        else:
            _print_limits(limits)
        return
    answer = api.get(f"/v1/accounts/{in_path(account)}/limits", {"explain": "true"})
    if as_json:
        print_json(answer)
    else:
        _print_limits(answer.body)


@commands.command("schema")
def schema() -> None:
    """Print the JSON schema of risk.yaml."""
    from engine.cli import files  # noqa: PLC0415 - as in `lint`

    typer.echo(files.risk_schema())


def _print_limits(limits: Mapping[str, Any]) -> None:
    print_fields((name, limits[name]) for name in ("account", "groups", "version", "policy_hash"))
    if limits["file_error"] is not None:
        note(f"the file on disk is refused, these limits are older: {limits['file_error']}")
    say("")
    print_table(COLUMNS, limits["limits"], none="no limit is set")
