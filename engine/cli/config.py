"""`engine config`: is a configuration good, and what may it hold."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from engine.cli.output import note, say
from engine.domain.values import Mode

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
    for session in config.sessions:
        if config.mode is Mode.LIVE and session.tls.verify == "insecure_loopback":
            note(
                f"warning: session {session.name} takes any program on this machine for its "
                "gateway (tls.verify: insecure_loopback), and trades real money; use pin or ca"
            )
        _warn_of_reach(session.name, session.gateway)


def _warn_of_reach(session: str, gateway: str) -> None:
    """Say when a gateway on this machine can be reached from other machines, too."""
    from engine.gateway import reach  # noqa: PLC0415 - as in `check`
    from engine.gateway.tls import is_loopback  # noqa: PLC0415 - as in `check`

    parts = urlsplit(gateway)
    if not is_loopback(parts.hostname or ""):
        note(
            f"warning: the gateway of session {session} is at {gateway}, not on this machine: "
            "who reaches that port can trade; see docs/gateway.md"
        )
        return
    open_at = reach.answers_at(reach.addresses_of_this_machine(), parts.port or 443)
    if open_at:
        note(
            f"warning: the gateway of session {session} also answers at {', '.join(open_at)} "
            f"port {parts.port or 443}: who reaches it can trade; see docs/gateway.md"
        )


@commands.command("schema")
def schema() -> None:
    """Print the JSON schema of engine.yaml."""
    from engine.cli import files  # noqa: PLC0415 - as in `check`

    typer.echo(files.config_schema())
