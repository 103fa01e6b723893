"""From a document to a model: the values that count, and the words for what is wrong.

Rule 1: everything that is wrong is reported, each problem once, at its own line.

Rule 2: what a field allows is said by its description in the model's schema.
"""

import copy
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from engine.config import strict_yaml
from engine.config.strict_yaml import ConfigError, ConfigProblems, Document, Path

Schema: TypeAlias = Mapping[str, object]

_FOUND_CHARACTERS_MAX: Final = 80

_Model = TypeVar("_Model", bound=BaseModel)
_Part = TypeVar("_Part", bound=BaseModel)


class Loading(Generic[_Model]):
    """One reading of a file into `model`; `context` is for the model's validators."""

    def __init__(
        self, model: type[_Model], document: Document, context: Mapping[str, object]
    ) -> None:
        value = copy.deepcopy(document.value)
        self.value: dict[str, object] = value if isinstance(value, dict) else {}
        self._model = model
        self._document = document
        self._context = dict(context)
        self._allowed = _Allowed(model.model_json_schema())
        self._overrides: dict[Path, str] = {}
        self._problems: dict[Path, ConfigError] = {}
        if not isinstance(value, dict | None):
            message = f"found {_found(value)}, needs {self._allowed.at(())}"
            raise document.error(message, ())

    def override(self, environ: Mapping[str, str], prefix: str) -> None:
        """Put the variables of the environment that start with `prefix` over the file."""
        for name in sorted(environ):
            if name.startswith(prefix):
                try:
                    self._override(name, name.removeprefix(prefix), environ[name])
                except ConfigError as error:
                    self._problems[(name,)] = error

    def part(self, model: type[_Part], value: object) -> _Part | None:
        """Return a part of the file if it is valid by itself."""
        try:
            return model.model_validate(value, context=self._context)
        except ValidationError:
            return None  # explained with the whole

    def finish(
        self, contradictions: Callable[["Loading[_Model]"], Iterable[tuple[Path, str]]]
    ) -> _Model:
        """Return the model if nothing is wrong with it. Raises `ConfigProblems`."""
        config = None
        try:
            config = self._model.model_validate(self.value, context=self._context)
        except ValidationError as error:
            self._explain(error)
        for path, message in contradictions(self):
            self._add(path, message)
        if self._problems:
            # A list that no branch of a union takes is a problem of the list and of its
            # item: the item says more.
            problems = [
                problem
                for path, problem in self._problems.items()
                if not any(path == other[: len(path)] for other in self._problems if other != path)
            ]
            raise ConfigProblems(sorted(problems, key=lambda one: (one.line or 0, one.column or 0)))
        assert config is not None
        return config

    def _add(self, path: Path, message: str) -> None:
        if path in self._problems:
            return
        for length in range(len(path), -1, -1):
            if name := self._overrides.get(path[:length]):
                text = strict_yaml.format_path(path)
                self._problems[path] = ConfigError(message, file=_variable(name), path=text)
                return
        self._problems[path] = self._document.error(message, path)

    def _override(self, name: str, keys: str, text: str) -> None:
        path: Path = ()
        for word in keys.split("__"):
            key = self._allowed.key(path, word)
            if key is None or (isinstance(key, int) and self._locate((*path, key))[0] == path):
                message = f"overrides nothing: {self._allowed.known(path, word)}"
                raise ConfigError(message, file=_variable(name))
            path = (*path, key)
        value = strict_yaml.read_text(text, file=_variable(name)).value
        at: object = self.value
        for key in path[:-1]:
            at = _enter(at, key)
        if isinstance(at, dict | list):  # what else it may be is a problem that is found later
            at[path[-1]] = value  # type: ignore[index] # a list gets an `int`, a dict a `str`
            self._overrides[path] = name

    def _explain(self, error: ValidationError) -> None:
        for one in error.errors(include_url=False):
            path, found = self._locate(one["loc"])
            match one["type"]:
                case "extra_forbidden":
                    known = self._allowed.known(path[:-1], str(path[-1]))
                    self._add(path, f"is not a known key: {known}")
                case "missing":
                    path = (*path, one["loc"][-1])
                    self._add(path, f"is missing, needs {self._allowed.at(path)}")
                case _ if one["loc"][-1] == "[key]":
                    needs = self._allowed.at(path[:-1])
                    self._add(path, f"found the key {str(path[-1])!r}, needs {needs}")
                case _:
                    self._add(path, f"found {_found(found)}, needs {self._allowed.at(path)}")

    def _locate(self, loc: Iterable[str | int]) -> tuple[Path, object]:
        """Leave out of a location what names no entry: branches of unions and the like."""
        path: Path = ()
        at: object = self.value
        for part in loc:
            if _has(at, part):
                path = (*path, part)
                at = at[part]  # type: ignore[index] # `_has` said so
        return path, at


class _Allowed:
    """What a model's JSON schema allows, in words."""

    def __init__(self, schema: Schema) -> None:
        self._root = schema

    def at(self, path: Path) -> str:
        """Say what may stand at a path."""
        schema = self._schema(path)
        text = schema.get("description")
        if isinstance(text, str) and "properties" not in schema:
            return text
        return "a mapping of " + ", ".join(self._keys(path))

    def known(self, path: Path, word: str) -> str:
        """Name the keys of a section, and the nearest to a misspelt one."""
        keys = self._keys(path)
        if not keys:
            return f"{strict_yaml.format_path(path)} has no such key"
        near = difflib.get_close_matches(word.lower(), keys, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        return f"{meant}allowed here: {', '.join(keys)}"

    def key(self, path: Path, word: str) -> str | int | None:
        """Return the key that a word of an environment variable's name means below `path`."""
        schema = self._schema(path)
        if "items" in schema:
            return int(word) if re.fullmatch(r"[0-9]{1,4}", word) else None
        if isinstance(schema.get("additionalProperties"), dict):
            return word
        return word.lower() if word.lower() in self._keys(path) else None

    def _keys(self, path: Path) -> tuple[str, ...]:
        properties = self._schema(path).get("properties")
        return tuple(properties) if isinstance(properties, dict) else ()

    def _schema(self, path: Path) -> Schema:
        schema = self._root
        for part in path:
            properties = schema.get("properties")
            if isinstance(properties, dict):
                inner = properties.get(part)
            else:
                inner = schema.get("items") or schema.get("additionalProperties")
            schema = self._entered(inner) if isinstance(inner, dict) else {}
        return schema

    def _entered(self, schema: Schema) -> Schema:
        """Follow a reference; of a choice take the branch that has parts."""
        choices = schema.get("anyOf")
        for choice in choices if isinstance(choices, list) else [schema]:
            if "$ref" in choice:
                definitions = self._root["$defs"]
                assert isinstance(definitions, dict)
                found: Schema = definitions[str(choice["$ref"]).removeprefix("#/$defs/")]
                return found if "properties" in found else schema
            if "items" in choice:
                return {**choice, **schema}
        return schema


def _variable(name: str) -> str:
    return f"environment {name}"


def _has(at: object, key: str | int) -> bool:
    if isinstance(at, list):
        return isinstance(key, int) and key < len(at)
    return isinstance(at, dict) and key in at


def _enter(at: object, key: str | int) -> object:
    """Return the entry, made where the file leaves a section out; None where it cannot be."""
    if isinstance(at, list):
        assert isinstance(key, int)
        return at[key]
    if not isinstance(at, dict):
        return None
    if at.get(key) is None:
        at[key] = {}
    return at[key]


def _found(value: object) -> str:
    """Write a value as a message shows it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = format(value, "f") if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= _FOUND_CHARACTERS_MAX else text[:_FOUND_CHARACTERS_MAX] + "…"
