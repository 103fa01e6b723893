"""What `engine sim faults` does: it talks to the control port of a simulator.

Rule: a value that was not understood changes nothing, but what stands before it
on the command line was done.
"""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

import yaml

from engine.cli.output import note, say

TIMEOUT_S: Final = 10.0


class ControlError(Exception):
    """The control port cannot be used or refused; the text is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """One request: faults to change, or an action with its arguments."""

    method: str
    path: str
    body: dict[str, Any]


def run(control: str, words: Sequence[str], *, session: str | None) -> int:
    """Do what the words say, show what came of it, and return the exit code."""
    try:
        port = _Port(control, session)
        if not words:
            _show(port.ask("GET", "/faults"))
            return 0
        for wish in _wishes(words, port.ask("GET", "/actions")):
            answer = port.ask(wish.method, wish.path, wish.body)
            if wish.method == "PATCH":
                _show(answer, only=set(wish.body))
            else:
                for username, done in answer.items():
                    say(f"{username}  {wish.path.rpartition('/')[2]}  {json.dumps(done)}")
    except ControlError as error:
        note(f"engine: {error}")
        return 1
    return 0


class _Port:
    def __init__(self, control: str, session: str | None) -> None:
        parts = urlsplit(control)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme != "http" or parts.hostname is None or port is None:
            message = f"the control address is {control!r}, needed is http://HOST:PORT"
            raise ControlError(message)
        self._control, self._host, self._port_number = control, parts.hostname, port
        self._query = f"?session={quote(session, safe='')}" if session is not None else ""

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send one request and return the JSON object of its answer."""
        connection = http.client.HTTPConnection(self._host, self._port_number, timeout=TIMEOUT_S)
        payload = None if body is None else json.dumps(body)
        try:
            connection.request(method, path + self._query, body=payload)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"no simulator answers at {self._control}: {error}"
            raise ControlError(message) from error
        finally:
            connection.close()
        if not isinstance(answer, dict):
            message = f"what answers at {self._control} is no simulator"
            raise ControlError(message)
        if response.status != HTTPStatus.OK:
            raise ControlError(str(answer.get("error", answer)))
        return answer


def _wishes(words: Sequence[str], actions: Mapping[str, Any]) -> Iterator[_Wish]:
    """The requests in the words; a name that the last action takes belongs to it."""
    taken: Sequence[str] = ()
    action: _Wish | None = None
    for word in words:
        name, equals, text = word.partition("=")
        if equals and action is not None and name in taken:
            action.body[name] = _value(name, text)
            continue
        if action is not None:
            yield action
            action = None
        if equals:
            yield _Wish(method="PATCH", path="/faults", body={name: _value(name, text)})
        elif name in actions:
            taken = actions[name]
            action = _Wish(method="POST", path=f"/actions/{name}", body={})
        else:
            known = ", ".join(sorted(actions))
            message = f"{name} is neither NAME=VALUE nor an action; actions are {known}"
            raise ControlError(message)
    if action is not None:
        yield action


def _value(name: str, text: str) -> Any:
    """The value of a word as a faults file would have it; an empty one is none."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"{name} is {text!r}, which cannot be read"
        raise ControlError(message) from error
    return value if isinstance(value, bool | int | float | None) else text


def _show(answer: Mapping[str, Any], *, only: set[str] | None = None) -> None:
    """Write the faults of each login: all of them, or those that were changed."""
    for username, shown in answer.items():
        for name, value in sorted(shown["values"].items()):
            if only is not None and name not in only:
                continue
            struck = shown["struck"].get(name, 0)
            say(f"{username}  {name}  {json.dumps(value)}  struck {struck}")
