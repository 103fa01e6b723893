"""The `engine` command: every noun is one file of this package.

Rule 1: exit code 0 means done, 1 refused or failed, 2 a usage error.

Rule 2: an exception that nobody expected is shown without local variables: they can hold
the token.
"""

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Annotated, Final

import typer

from engine.cli import (
    accounts,
    bars,
    config,
    drain,
    events,
    gateway,
    halt,
    instruments,
    journal,
    order_repairs,
    order_submit,
    orders,
    positions,
    quotes,
    risk,
    run,
    sessions,
    sim,
)
from engine.cli.options import NEGATIVE

DISTRIBUTION: Final = "ibkr-execution-engine"

application = typer.Typer(
    name="engine",
    help="An execution engine for many Interactive Brokers accounts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def version() -> str:
    """The version of this installation, or of the source tree that it runs from."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        # `make` runs the engine from the source tree, where this file names the version.
        manifest = Path(__file__).parents[2] / "rust_core" / "Cargo.toml"
        package = tomllib.loads(manifest.read_text(encoding="utf-8"))["package"]
        return str(package["version"])


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"engine {version()}")
        raise typer.Exit


@application.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """An execution engine for many Interactive Brokers accounts."""


_PANELS: Final = {
    "Run": (run.run, run.demo),
    "Look": (
        accounts.accounts,
        positions.positions,
        instruments.instruments,
        quotes.quotes,
        bars.bars,
        events.events,
    ),
    "Act": (halt.halt, halt.resume, drain.drain),
}

for _panel, _commands in _PANELS.items():
    for _command in _commands:
        application.command(rich_help_panel=_panel)(_command)
orders.commands.command("submit", context_settings=NEGATIVE)(order_submit.submit_order)
orders.commands.command("resolve")(order_repairs.resolve_order)
orders.commands.command("adopt")(order_repairs.adopt_order)
application.add_typer(sim.commands, name="sim", rich_help_panel="Run")
application.add_typer(sessions.commands, name="sessions", rich_help_panel="Look")
application.add_typer(orders.commands, name="orders", rich_help_panel="Act")
application.add_typer(journal.commands, name="journal", rich_help_panel="Files")
application.add_typer(gateway.commands, name="gateway", rich_help_panel="Files")
application.add_typer(config.commands, name="config", rich_help_panel="Files")
application.add_typer(risk.commands, name="risk", rich_help_panel="Files")


def main() -> None:
    """Run the command line and leave with its exit code."""
    application()
