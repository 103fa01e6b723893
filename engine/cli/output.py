"""What the commands print: tables for people, the API's own bytes for programs.

Rule 1: results go to stdout, everything else to stderr.

Rule 2: text from elsewhere is shown as text: it cannot colour, move the cursor or ring.

Rule 3: a cell may wrap between words, it is never cut: a cut price is a wrong price. A
terminal that is too narrow wraps the lines itself.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli.api import Answer, JsonObject, reason_text

_WIDTH_MAX: Final = 1000
_GAP: Final = 2
_STYLES: Final = {
    "FILLED": "green",
    "READY": "green",
    "yes": "green",
    "DENIED": "red",
    "REJECTED": "red",
    "NOT_PLACED": "red",
    "DOWN": "red",
    "LOCKED_OUT": "red",
    "halt": "red",
    "no": "red",
    "IN_DOUBT": "bold magenta",
    "PARKED": "bold magenta",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a listing and how its cells are made from a row of the API.

    One that `wraps` gives way, between words, where the terminal is narrow.
    """

    title: str
    cell: Callable[[JsonObject], str]
    right: bool = False
    wraps: bool = False


def column(
    title: str, name: str | None = None, *, right: bool = False, wraps: bool = False
) -> Column:
    """Make a column that shows one field of the row, by default the one of its title."""
    field_name = name or title.replace(" ", "_")
    return Column(
        title=title, cell=lambda row: shown(row.get(field_name)), right=right, wraps=wraps
    )


def shown(value: Any) -> str:
    """Write a JSON value for people; `-` stands for none."""
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(shown(item) for item in value)
        case {"code": str(code), "message": str(message)}:
            return reason_text(code, message)
        case _:
            return str(value)


def printable(text: str) -> str:
    """Replace what a terminal would obey by a question mark."""
    return "".join(
        character if character.isprintable() or character == "\n" else "?" for character in text
    )


def age(row: JsonObject, name: str = "created_at", *, now: datetime | None = None) -> str:
    """Write how long ago the row's time was; `-` when it has none."""
    at = row.get(name)
    if not isinstance(at, str):
        return "-"
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(at)).total_seconds()
    return duration(max(seconds, 0.0))


def duration(seconds: float) -> str:
    """Write a duration with one unit: `850 ms`, `12 s`, `5 min`, `3 h`, `2 d`."""
    for unit, length, until in (
        ("ms", 0.001, 1),
        ("s", 1, 120),
        ("min", 60, 7200),
        ("h", 3600, 172_800),
    ):
        if seconds < until:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds / 86_400)} d"


def print_json(answer: Answer) -> None:
    """Print the answer as it came, once it is known to be JSON."""
    assert answer.body is not None
    typer.echo(answer.text.rstrip("\n"))


def print_table(columns: Sequence[Column], rows: Iterable[JsonObject], *, none: str) -> None:
    """Print one line per row, or the sentence `none` when there is no row."""
    lines = [[printable(column.cell(row)) for column in columns] for row in rows]
    if not lines:
        say(none)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    width = 0
    for column, cells in zip(columns, zip(*lines, strict=True), strict=True):
        narrowest = max(_narrowest(cell, wraps=column.wraps) for cell in (column.title, *cells))
        width += narrowest + _GAP
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            min_width=narrowest,
        )
    for line in lines:
        table.add_row(*(Text(cell, style=_style(cell)) for cell in line))
    _show(table, width)


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Print one line per field: its name and its value."""
    lines = [(name, printable(shown(value))) for name, value in fields]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, cell in lines:
        table.add_row(name, Text(cell, style=_style(cell)))
    names = max(_narrowest(name, wraps=False) for name, _ in lines)
    values = max(_narrowest(cell, wraps=True) for _, cell in lines)
    _show(table, names + _GAP + values)


def say(text: str) -> None:
    """Print one sentence that is the result."""
    typer.echo(printable(text))


def note(text: str) -> None:
    """Print one sentence beside the result, on stderr."""
    typer.echo(printable(text), err=True)


def fail(text: str) -> NoReturn:
    """Print why it failed, and leave with exit code 1."""
    note(f"engine: {text}")
    raise typer.Exit(1)


def _narrowest(cell: str, *, wraps: bool) -> int:
    """How wide a cell must be so that no word breaks."""
    return max((cell_len(word) for word in (cell.split() if wraps else [cell])), default=0)


def _show(table: Table, width_min: int) -> None:
    console = Console(highlight=False)
    console.width = max(console.width if console.is_terminal else _WIDTH_MAX, width_min)
    console.print(table, crop=False)


def _style(cell: str) -> str:
    return _STYLES.get(cell.partition(" ")[0], "")
