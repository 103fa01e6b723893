"""`engine events`: the journal as it is written, a line per event."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from engine.cli.api import Answer, Api, ApiFailure, JsonObject
from engine.cli.options import calls_api
from engine.cli.output import say, shown

SILENCE_S_MAX: Final = 60.0
"""Following: the engine sends a comment every few seconds, so this silence means it is gone."""

CAUGHT_UP_S: Final = 1.0
"""Not following: the past comes at once, so this silence means that all of it came."""


def read_events(lines: Iterable[str]) -> Iterator[str]:
    """Yield the data of each server-sent event; comments and other fields are passed over."""
    parts: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        if not line and parts:
            yield "\n".join(parts)
            parts = []
        elif name == "data":
            parts.append(value.removeprefix(" "))


@calls_api
def events(
    api: Api,
    *,
    from_seq: Annotated[
        int, typer.Option(min=0, help="Show those after this sequence number.")
    ] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event's JSON on a line of its own.")
    ] = False,
) -> None:
    """Show the journal's events so far, the oldest first; with --follow, those to come too."""
    started = datetime.now(UTC)
    silence_s_max = SILENCE_S_MAX if follow else CAUGHT_UP_S
    lines = api.stream("/v1/events", {"from_seq": from_seq}, silence_s_max=silence_s_max)
    try:
        for text in read_events(lines):
            event = Answer(status=200, text=text)
            # A busy engine is never silent, so the past also ends at the first later event.
            if not follow and datetime.fromisoformat(event.part("at")) > started:
                return
            if as_json:
                typer.echo(text)
            else:
                say(_line(event.body))
    except TimeoutError as error:
        if follow:
            message = f"the engine at {api.address} has been silent for {silence_s_max:g} s"
            raise ApiFailure(message, was_sent=True) from error
    except KeyboardInterrupt:
        # The way to stop following; nothing is left half done.
        return


def _line(event: JsonObject) -> str:
    body = json.dumps(event.get("body"), separators=(",", ":"))
    head = (shown(event.get(name)) for name in ("seq", "at", "type", "account", "order_id"))
    return "  ".join((*head, body))
