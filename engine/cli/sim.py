"""`engine sim`: a simulated gateway as a process of its own."""

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.options import accounts_text


def sim(
    *,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 5000,
    accounts: Annotated[
        str,
        typer.Option(parser=accounts_text, metavar="ID,ID", help="The accounts of its one login."),
    ] = "DU1111111,DU2222222",
    seed: Annotated[int, typer.Option(help="The same seed, the same market.")] = 1,
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The faults it starts with.")
    ] = None,
    cert_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keeps its certificate, so that a pin stays good."),
    ] = None,
    login_required: Annotated[
        bool, typer.Option("--login-required", help="Start logged out.")
    ] = False,
) -> None:
    """Run a simulated gateway over TLS until Ctrl-C or SIGTERM."""
    # Only this command pays for loading the simulator and its server.
    from engine.cli import simulated_gateway  # noqa: PLC0415 - see above

    code = simulated_gateway.run(
        host=host,
        port=port,
        accounts=tuple(accounts.split(",")),
        seed=seed,
        faults_file=faults,
        cert_dir=cert_dir,
        logged_in=not login_required,
    )
    raise typer.Exit(code)
