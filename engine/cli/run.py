"""`engine run` and `engine demo`: the engine itself."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    *,
    config: Annotated[
        Path, typer.Option(metavar="FILE", help="See `engine config schema` for what it holds.")
    ] = Path("engine.yaml"),
) -> None:
    """Run the engine until it is drained, by SIGTERM, Ctrl-C or `engine drain`."""
    # Only the commands of this file pay for loading the engine.
    from engine import app  # noqa: PLC0415 - see above

    raise typer.Exit(app.run(config))


def demo(
    *,
    sessions: Annotated[int, typer.Option(min=1, max=20, help="Simulated gateways.")] = 1,
    accounts: Annotated[int, typer.Option(min=1, max=50, help="Accounts of each.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed, the same market.")] = 1,
    seconds: Annotated[
        float | None,
        typer.Option("--for", min=0, metavar="SECONDS", help="Stop by itself after so long."),
    ] = None,
) -> None:
    """Run simulated gateways and an engine, and trade a few sample orders."""
    from engine import demo as demonstration  # noqa: PLC0415 - see above

    code = demonstration.run(sessions=sessions, accounts=accounts, seed=seed, seconds=seconds)
    raise typer.Exit(code)
