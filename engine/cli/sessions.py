"""`engine sessions`: the gateway sessions and why one is not ready."""

from engine.cli.api import Api
from engine.cli.options import JsonOption, calls_api
from engine.cli.output import Column, age, column, print_json, print_table

COLUMNS = (
    column("session", "name"),
    column("state"),
    Column(title="since", cell=lambda row: age(row, "since"), right=True),
    column("reason", wraps=True),
    column("accounts"),
    column("gateway"),
    column("epoch", right=True),
    column("socket", "socket_connected"),
)


@calls_api
def sessions(api: Api, *, as_json: JsonOption = False) -> None:
    """List the gateway sessions: their states, and why one is not ready."""
    answer = api.get("/v1/sessions")
    if as_json:
        print_json(answer)
    else:
        print_table(COLUMNS, answer.part("sessions"), none="no session is configured")
