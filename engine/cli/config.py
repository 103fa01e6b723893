"""`engine config`: is a configuration good, and what may it hold."""

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.output import say

commands = typer.Typer(no_args_is_help=True, help="Check engine.yaml; print its schema.")


@commands.command("check")
def check(*, file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Check engine.yaml, with the environment's overrides, and the limits file it names."""
    # Only the commands that read files pay for loading the models.
    from engine.cli import files  # noqa: PLC0415 - see above

    config = files.read_config(file)
    policy = files.read_policy(config.risk.file)
    names = ", ".join(session.name for session in config.sessions)
    say(f"{file} is good: {config.mode} mode, sessions {names}")
    say(f"{config.risk.file} is good: version {policy.version}")


@commands.command("schema")
def schema() -> None:
    """Print the JSON schema of engine.yaml."""
    from engine.cli import files  # noqa: PLC0415 - as in `check`

    typer.echo(files.config_schema())
