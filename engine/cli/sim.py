"""`engine sim`: simulated gateways as a process of their own, and their faults."""

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.options import accounts_text

SESSIONS_MAX = 50
ACCOUNTS_MAX = 100

commands = typer.Typer(
    help="Run a simulated gateway over TLS until Ctrl-C or SIGTERM, or change its faults.",
    invoke_without_command=True,
)


def _accounts(text: str) -> str:
    """Read a list of accounts, or how many each login has."""
    if not text.isdecimal():
        return accounts_text(text)
    if not 1 <= int(text) <= ACCOUNTS_MAX:
        message = f"{text} accounts for each login, allowed are 1 to {ACCOUNTS_MAX}"
        raise typer.BadParameter(message)
    return text


DayEnd = Annotated[
    str | None,
    typer.Option(
        metavar="HH:MM",
        help="When its day ends, in UTC: orders for the day end then. Without it, never.",
    ),
]


@commands.callback()
def sim(
    context: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 5000,
    sessions: Annotated[
        int,
        typer.Option(
            min=1, max=SESSIONS_MAX, help="How many logins, each with a gateway on the next port."
        ),
    ] = 1,
    accounts: Annotated[
        str | None,
        typer.Option(
            parser=_accounts,
            metavar="ID,ID",
            help="All accounts, shared out among the logins, or how many each login has.",
        ),
    ] = None,
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
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keeps the venue, so that it goes on where it stopped."),
    ] = None,
    day_end: DayEnd = None,
    control_port: Annotated[
        int,
        typer.Option(min=0, max=65_535, help="For `engine sim faults`; 0 takes a free one."),
    ] = 0,
) -> None:
    """Run a simulated gateway over TLS until Ctrl-C or SIGTERM, or change its faults."""
    if context.invoked_subcommand is not None:
        return
    # Only this command pays for loading the simulator and its server.
    from engine.cli import simulated_gateway  # noqa: PLC0415 - see above

    code = simulated_gateway.run(
        host=host,
        port=port,
        sessions=sessions,
        accounts=accounts,
        seed=seed,
        faults_file=faults,
        cert_dir=cert_dir,
        logged_in=not login_required,
        state_file=state,
        control_port=control_port,
        day_end=day_end,
    )
    raise typer.Exit(code)


@commands.command(name="faults")
def change_faults(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[list | clear | bad-night | NAME=VALUE | ACTION [ARGUMENT=VALUE ...]] ...",
            help="Faults to change and actions to do, in this order; none shows the faults. "
            "NAME=5% gives a fault a chance.",
            show_default=False,
        ),
    ] = None,
    *,
    control: Annotated[
        str | None,
        typer.Option(
            envvar="ENGINE_SIM_CONTROL", metavar="URL", help="Where its control port listens."
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="USERNAME", help="One login; without it, all of them.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, for programs.")
    ] = False,
) -> None:
    """Show and change the faults of a running simulated gateway, and do things to it."""
    if control is None:
        message = "name the control port that `engine sim` printed: --control or ENGINE_SIM_CONTROL"
        raise typer.BadParameter(message)
    from engine.cli import simulator_control  # noqa: PLC0415 - loads YAML, which others need not

    raise typer.Exit(simulator_control.run(control, words or [], session=session, as_json=as_json))
