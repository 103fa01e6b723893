"""`engine drain`: let a running engine finish and stop."""

from engine.cli.api import Api
from engine.cli.options import JsonOption, calls_api
from engine.cli.output import print_json, say


@calls_api
def drain(api: Api, *, as_json: JsonOption = False) -> None:
    """Take no new orders, finish what is under way, then stop."""
    answer = api.request("POST", "/v1/drain")
    if as_json:
        print_json(answer)
    else:
        say("the engine is draining: it takes no new orders")
