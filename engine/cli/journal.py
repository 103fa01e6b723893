"""`engine journal`: what was written, read from the journal itself.

Rule: nothing here asks an engine or disturbs one. The journal is read beside it.
"""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from engine.cli.options import JsonOption

commands = typer.Typer(no_args_is_help=True, help="Verify, show, export and replay the journal.")

_PANEL: Final = "The journal to read"
_PLACE: Final = (
    Parameter(
        "config",
        Parameter.KEYWORD_ONLY,
        default=Path("engine.yaml"),
        annotation=Annotated[
            Path,
            typer.Option(
                metavar="FILE", help="Its journal.url, state_dir and shard.", rich_help_panel=_PANEL
            ),
        ],
    ),
    Parameter(
        "url",
        Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            str | None,
            typer.Option(
                metavar="URL",
                help="sqlite:///FILE or postgresql://USER@HOST/DATABASE, instead of --config. "
                "Give a password by PGPASSWORD or PGPASSFILE.",
                rich_help_panel=_PANEL,
            ),
        ],
    ),
    Parameter(
        "shard",
        Parameter.KEYWORD_ONLY,
        default="0001",
        annotation=Annotated[
            str,
            typer.Option(
                metavar="NAME", help="With --url: whose, in a database.", rich_help_panel=_PANEL
            ),
        ],
    ),
)


def _reads_journal(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a journal; its `place` becomes those."""

    @wraps(command)
    def wrapped(**options: Any) -> None:
        # Only the commands of this file pay for loading the journal.
        from engine.cli import journal_work  # noqa: PLC0415 - see above

        given = {one.name: options.pop(one.name) for one in _PLACE}
        command(place=journal_work.Place(**given), **options)

    own = [one for name, one in signature(command).parameters.items() if name != "place"]
    # Typer reads options from the signature alone.
    wrapped.__signature__ = signature(command).replace(  # type: ignore[attr-defined]  # a function takes it
        parameters=[*own, *_PLACE]
    )
    return wrapped


@commands.command("verify")
@_reads_journal
def verify(
    *,
    place: Any,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check this export instead of a journal."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every record; exit code 1 names the first that is not what was written."""
    from engine.cli import journal_work  # noqa: PLC0415 - as above

    if export is None:
        journal_work.verify(place, as_json=as_json)
    else:
        journal_work.verify_export(export, as_json=as_json)


@commands.command("show")
@_reads_journal
def show(
    *,
    place: Any,
    order: Annotated[str | None, typer.Option(metavar="ID", help="All of one order.")] = None,
    account: Annotated[str | None, typer.Option(metavar="ACCOUNT")] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Such as INTENT; may be given repeatedly."),
    ] = None,
    from_seq: Annotated[
        int | None, typer.Option(min=0, help="Begin here, not with the newest.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many: 100 unless given, all of an order."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest records, or an order's whole story, in words and with times."""
    from engine.cli import journal_work  # noqa: PLC0415 - as above

    wanted = journal_work.wanted(
        order=order, account=account, kinds=kinds or [], from_seq=from_seq, limit=limit
    )
    journal_work.show(place, wanted, as_json=as_json)


@commands.command("export")
@_reads_journal
def export(
    *,
    place: Any,
    until_seq: Annotated[int | None, typer.Option(min=1, help="End with this record.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead of standard output.")
    ] = None,
) -> None:
    """Write every record as a line of JSON, checked on the way; see `verify --export`."""
    from engine.cli import journal_work  # noqa: PLC0415 - as above

    journal_work.export(place, until_seq=until_seq, output=output)


@commands.command("replay")
@_reads_journal
def replay(
    *,
    place: Any,
    expect: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Exit with 1 if it is another.")
    ] = None,
    snapshot: Annotated[
        bool, typer.Option(help="Also start from the newest snapshot: it must end the same.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Apply every record, and show what they make: orders, halts, and a digest of it all."""
    from engine.cli import journal_work  # noqa: PLC0415 - as above

    journal_work.replay(place, expect=expect, with_snapshot=snapshot, as_json=as_json)
