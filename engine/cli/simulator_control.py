"""What `engine sim faults` does: it talks to the control port of a simulator.

Rule: nothing is done before every word is understood. What then fails, such as the cancel
of an order that is over, leaves done what stands before it on the command line.
"""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import yaml

from engine.cli.output import note, say

_CHECK: Final = {"check": "true"}
_LIST: Final = "list"
_CLEAR: Final = "clear"
_NEAR_MAX: Final = 3
TIMEOUT_S: Final = 10.0


class ControlError(Exception):
    """The control port cannot be used or refused; the text is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """One request: faults to change, or an action with its arguments."""

    method: str
    path: str
    body: dict[str, Any]


def run(control: str, words: Sequence[str], *, session: str | None, as_json: bool = False) -> int:
    """Do what the words say, show what came of it, and return the exit code.

    For programs it is one JSON document: the faults of each login or, with words, a list of
    what the control port answered to each wish that was done.
    """
    done: list[dict[str, Any]] = []
    try:
        port = _Port(control, session)
        faults = port.ask("GET", "/faults")
        if not words:
            _print(faults) if as_json else _show(faults)
            return 0
        if tuple(words) == (_LIST,):
            known = port.ask("GET", "/faults/known")
            _print(known) if as_json else _describe(known)
            return 0
        vocabulary = _Vocabulary(
            faults=frozenset(name for shown in faults.values() for name in shown["values"]),
            actions=port.ask("GET", "/actions"),
            presets=frozenset(port.ask("GET", "/presets")),
        )
        wishes = tuple(_wishes(words, vocabulary))
        for wish in wishes:
            port.ask(wish.method, wish.path, wish.body, _CHECK)
        for wish in wishes:
            answer = port.ask(wish.method, wish.path, wish.body)
            done.append(answer)
            if not as_json:
                _tell(wish, answer)
    except ControlError as error:
        note(f"engine: {error}")
        return 1
    finally:
        if as_json and done:
            _print(done)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vocabulary:
    """What a word may be: a fault, an action with its arguments, or a preset."""

    faults: frozenset[str]
    actions: Mapping[str, Any]
    presets: frozenset[str]


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
        self._query = {} if session is None else {"session": session}

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Send one request and return the JSON object of its answer."""
        connection = http.client.HTTPConnection(self._host, self._port_number, timeout=TIMEOUT_S)
        payload = None if body is None else json.dumps(body)
        try:
            asked = urlencode({**self._query, **query}, quote_via=quote)
            target = f"{path}?{asked}" if asked else path
            connection.request(method, target, body=payload)
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


def _wishes(words: Sequence[str], vocabulary: _Vocabulary) -> Iterator[_Wish]:
    """The requests in the words; a name that the last action takes belongs to it."""
    taken: Sequence[str] = ()
    action: _Wish | None = None
    for word in words:
        name, equals, text = word.partition("=")
        if equals and action is not None and name in taken:
            action.body[name] = _value(name, text)
            continue
        if equals and name not in vocabulary.faults:
            near = get_close_matches(name, vocabulary.faults, n=_NEAR_MAX, cutoff=0)
            message = (
                f"{name} is no fault; `engine sim faults {_LIST}` shows all, "
                f"near are {', '.join(near)}"
            )
            if action is not None:
                verb = action.path.rpartition("/")[2]
                message = f"{verb} takes {', '.join(taken) or 'nothing'}; {message}"
            raise ControlError(message)
        if action is not None:
            yield action
            action = None
        if equals:
            yield _Wish(method="PATCH", path="/faults", body={name: _value(name, text)})
        elif name in vocabulary.actions:
            taken = vocabulary.actions[name]
            action = _Wish(method="POST", path=f"/actions/{name}", body={})
        elif name in vocabulary.presets:
            yield _Wish(method="POST", path=f"/presets/{name}", body={})
        elif name == _CLEAR:
            yield _Wish(method="DELETE", path="/faults", body={})
        else:
            known = ", ".join(sorted({*vocabulary.actions, *vocabulary.presets, _CLEAR}))
            message = f"{name} is neither NAME=VALUE nor one of {known}"
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


def _print(document: object) -> None:
    say(json.dumps(document))


def _tell(wish: _Wish, answer: Mapping[str, Any]) -> None:
    if wish.method == "PATCH":
        _show(answer, only=set(wish.body))
        return
    if not wish.path.startswith("/actions/"):
        done = wish.path.rpartition("/")[2] if wish.path.startswith("/presets/") else _CLEAR
        for username, shown in answer.items():
            chances = len(shown["values"].get("chances", {}))
            say(f"{username}  {done}  {chances} faults have a chance")
        return
    for username, done in answer.items():
        say(f"{username}  {wish.path.rpartition('/')[2]}  {json.dumps(done)}")


def _show(answer: Mapping[str, Any], *, only: set[str] | None = None) -> None:
    """Write the faults of each login: all of them, or those that were changed."""
    for username, shown in answer.items():
        chances = shown["values"].get("chances", {})
        for name, value in sorted(shown["values"].items()):
            if name == "chances" or (only is not None and name not in only):
                continue
            share = f"  chance {100 * chances[name]:g}%" if name in chances else ""
            struck = shown["struck"].get(name, 0)
            say(f"{username}  {name}  {json.dumps(value)}{share}  struck {struck}")


def _describe(known: Mapping[str, Any]) -> None:
    """Write what each fault is, subject by subject."""
    subject = None
    for name, fault in known.items():
        if fault["subject"] != subject:
            say(f"{'' if subject is None else chr(10)}{fault['subject']}:")
            subject = fault["subject"]
        say(f"  {name}  {fault['what']} ({fault['allowed']})")
