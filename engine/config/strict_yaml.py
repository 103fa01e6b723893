"""YAML as a configuration file may use it: no surprises, and a position for every value.

Rule 1: numbers are `int` or `Decimal`, made from their digits, never through a binary
float. What only looks like a number (`1e6`, `0x10`, `007`, `1:30`, `.inf`) stays text, so
that a schema which wants a number refuses it.

Rule 2: `true` and `false` are the only booleans. `yes`, `no`, `on` and `off` are text.

Rule 3: what YAML has for clever files is refused: anchors, aliases, merge keys, tags,
several documents, repeated keys, keys that are not text.
"""

import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value from the top of the file: keys and positions in lists."""

FILE_BYTES_MAX: Final = 1024 * 1024
DEPTH_MAX: Final = 32
DIGITS_MAX: Final = 40

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:_[0-9]{3})+)")
_DECIMAL: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:_[0-9]{3})+)?\.[0-9]+")
_CONSTANTS: Final[Mapping[str, bool | None]] = {
    "true": True,
    "false": False,
    "null": None,
    "~": None,
    "": None,
}


class ConfigError(ValueError):
    """A configuration that cannot be used: where, what was found, what is allowed.

    `str(error)` is `risk.yaml:12:5: order.max_qty.STK: found -5, needs ...`.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str,
        line: int | None = None,
        column: int | None = None,
        path: str = "",
    ) -> None:
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.path = path
        place = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__(": ".join(part for part in (place, path, message) if part))


class ConfigProblems(ConfigError):  # noqa: N818 - several errors, and named so
    """Everything that is wrong with one file, in the order of the file, a line each."""

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        assert problems
        first = problems[0]
        super().__init__(
            first.message, file=first.file, line=first.line, column=first.column, path=first.path
        )
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in a file. Line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Document:
    """What a file says, as plain Python values, and where it says it."""

    def __init__(self, value: object, *, file: str, marks: Mapping[Path, Mark]) -> None:
        self.value = value
        self.file = file
        self._marks = marks

    def mark(self, path: Path) -> Mark:
        """Return where the entry starts: its key, or the value of a list item.

        A path that the file does not have gives its nearest parent.
        """
        while path not in self._marks and path:
            path = path[:-1]
        return self._marks[path]

    def error(self, message: str, path: Path) -> ConfigError:
        """Make the error about the value at `path`."""
        mark = self.mark(path)
        return ConfigError(
            message, file=mark.file, line=mark.line, column=mark.column, path=format_path(path)
        )


def format_path(path: Path) -> str:
    """Write a path as people do: `sessions[0].tls.verify`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def read_file(file: pathlib.Path) -> Document:
    """Read a file of at most 1 MiB of UTF-8. Raises `ConfigError`, also when it is missing."""
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError(message, file=file.name) from error
    if len(content) > FILE_BYTES_MAX:
        message = f"is larger than {FILE_BYTES_MAX} bytes, the limit"
        raise ConfigError(message, file=file.name)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"found the byte 0x{content[error.start]:02x}, needs UTF-8 text"
        raise ConfigError(message, file=file.name, line=line) from error
    return read_text(text, file=file.name)


def read_text(text: str, *, file: str) -> Document:
    """Read one YAML document; `file` is its name in messages. Raises `ConfigError`."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > FILE_BYTES_MAX:
        message = f"is {size} bytes long, the limit is {FILE_BYTES_MAX} bytes"
        raise ConfigError(message, file=file)
    return _Reader(text, file).document()


def read_scalar(text: str) -> object:
    """Return the value of an unquoted YAML scalar: text, number, boolean or None."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text) and len(text) <= DIGITS_MAX:
        return int(text)
    if _DECIMAL.fullmatch(text) and len(text) <= DIGITS_MAX:
        return Decimal(text.replace("_", ""))
    return text


class _Reader:
    """Builds the values of one document from the events of the YAML parser.

    Events and not nodes: nesting is checked before anything recurses into it.
    """

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._events = self._parse(text)
        self._marks: dict[Path, Mark] = {}

    def document(self) -> Document:
        self._next()  # the start of the stream
        event = self._next()
        if not isinstance(event, yaml.DocumentStartEvent):
            self._marks[()] = Mark(file=self._file, line=1, column=1)
            return Document(None, file=self._file, marks=self._marks)
        if event.tags:
            self._fail("found a %TAG directive, tags are not supported", event, ())
        event = self._next()
        self._marks[()] = self._mark(event)
        value = self._value(event, ())
        self._next()  # the end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._fail("found a second document, one file holds one document", event, ())
        return Document(value, file=self._file, marks=self._marks)

    def _parse(self, text: str) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            found = " ".join(part for part in (error.context, error.problem) if part)
            message = f"is not YAML: {found}"
            raise ConfigError(
                message,
                file=self._file,
                line=mark.line + 1 if mark else None,
                column=mark.column + 1 if mark else None,
            ) from error
        # The YAML library lets `"\UFFFFFFFF"` and overlong numbers in directives through
        # to `chr` and `int`, which raise these.
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            message = f"is not YAML: {str(error).splitlines()[0]}"
            raise ConfigError(message, file=self._file) from error

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _value(self, event: yaml.Event, path: Path) -> object:
        if isinstance(event, yaml.AliasEvent):
            self._fail(f"found the alias *{event.anchor}, write the value out", event, path)
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.anchor is not None:
            message = f"found the anchor &{event.anchor}, anchors are not supported"
            self._fail(message, event, path)
        if event.tag is not None:
            self._fail(f"found the tag {event.tag}, tags are not supported", event, path)
        if len(path) > DEPTH_MAX:
            self._fail(f"is nested deeper than {DEPTH_MAX} levels, the limit", event, path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        assert isinstance(event, yaml.ScalarEvent)
        if not event.implicit[0]:  # quoted, or a block of text
            return event.value
        return self._plain(event, path)

    def _plain(self, event: yaml.ScalarEvent, path: Path) -> object:
        text: str = event.value
        value = read_scalar(text)
        if value is text and len(text) > DIGITS_MAX and not text.strip("+-_.0123456789"):
            message = f"found a number of {len(text)} characters, the limit is {DIGITS_MAX}"
            self._fail(message, event, path)
        return value

    def _mapping(self, path: Path) -> dict[str, object]:
        mapping: dict[str, object] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, path)
            entry = (*path, key)
            mark = self._mark(event)
            if key in mapping:
                first = self._marks[entry]
                message = f"appears twice, on lines {first.line} and {mark.line}"
                self._fail(message, event, entry)
            self._marks[entry] = mark
            mapping[key] = self._value(self._next(), entry)
        return mapping

    def _key(self, event: yaml.Event, path: Path) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._fail("found a key that is no text", event, path)
        key = self._value(event, path)
        if not isinstance(key, str):
            message = f"found the key {event.value or 'null'}, keys are text: put it in quotes"
            self._fail(message, event, path)
        if key == "<<" and event.implicit[0]:
            self._fail("found a merge key <<, write the entries out", event, path)
        return key

    def _sequence(self, path: Path) -> list[object]:
        sequence: list[object] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            item = (*path, len(sequence))
            self._marks[item] = self._mark(event)
            sequence.append(self._value(event, item))
        return sequence

    def _mark(self, event: yaml.Event) -> Mark:
        start = event.start_mark
        assert start is not None
        return Mark(file=self._file, line=start.line + 1, column=start.column + 1)

    def _fail(self, message: str, event: yaml.Event, path: Path) -> NoReturn:
        mark = self._mark(event)
        raise ConfigError(
            message, file=self._file, line=mark.line, column=mark.column, path=format_path(path)
        )
