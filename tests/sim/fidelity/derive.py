"""Draws the table of paths and field types from the broker's OpenAPI file.

`python -m tests.sim.fidelity.derive FILE` writes `paths.json` beside this script. The file
itself is the broker's and not kept here: of it, the table has nothing but paths, methods,
and the names and types of what is asked and answered, for the paths that are simulated.

A type is `string`, `number`, `boolean`, `null` or `any`; an object is a mapping of its
fields, `*` stands for any other name; a list is a list with the type of its elements; what
may be several of these is `{"|": [...]}`.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from engine.sim import SimConfig, SimGateway

TABLE: Final = Path(__file__).with_name("paths.json")
DEPTH_MAX: Final = 8
_BRACES: Final = re.compile(r"\{[^}]*\}")
_SAMPLE: Final = re.compile(r"[DU]U?\d+(\.Core)?|date|symbol")
_SCALARS: Final = {"integer": "number", "number": "number", "string": "string"}


def simulated() -> Iterator[tuple[str, str]]:
    """Every method and path that the simulator serves."""
    for route in SimGateway(SimConfig()).routes:
        for method in route.methods:
            yield method, route.pattern


def bare(path: str) -> str:
    """A path without the names of its variables, which differ from page to page."""
    return _BRACES.sub("{}", path)


class Document:
    """An OpenAPI document."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._paths = {bare(path): item for path, item in root["paths"].items()}

    def operation(self, method: str, path: str) -> Mapping[str, Any] | None:
        """What is said of one method of one path, None when nothing is."""
        found: Mapping[str, Any] | None = self._paths.get(bare(path), {}).get(method.lower())
        return found

    def answer(self, operation: Mapping[str, Any]) -> Any:
        """The type of the good answer; `any` when nothing is said of it."""
        kinds: list[Any] = []
        for status, response in sorted(operation.get("responses", {}).items()):
            if status.startswith("2"):
                kinds += self._contents(self._resolved(response))
        return _merged(kinds)

    def asked(self, operation: Mapping[str, Any]) -> Any:
        """The type of the body of a request; None without one."""
        kinds = self._contents(self._resolved(operation.get("requestBody", {})))
        return _merged(kinds) if kinds else None

    def query(self, operation: Mapping[str, Any]) -> list[str]:
        """The names that may be in the query."""
        rows = [self._resolved(row) for row in operation.get("parameters", ())]
        return sorted(row["name"] for row in rows if row.get("in") == "query")

    def _contents(self, holder: Mapping[str, Any]) -> list[Any]:
        return [
            self._type(kind.get("schema", {}), 0) for kind in holder.get("content", {}).values()
        ]

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            found: Any = self._root
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def _type(self, schema: Mapping[str, Any], depth: int) -> Any:
        schema = self._resolved(schema)
        if depth > DEPTH_MAX:
            return "any"
        for word in ("oneOf", "anyOf"):
            if word in schema:
                return _merged([self._type(row, depth + 1) for row in schema[word]])
        if "allOf" in schema:
            fields: dict[str, Any] = {}
            for row in schema["allOf"]:
                part = self._type(row, depth + 1)
                fields |= part if isinstance(part, dict) else {}
            return fields or "any"
        found = self._plain(schema, depth)
        return _merged([found, "null"]) if schema.get("nullable") else found

    def _plain(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if kind == "array":
            return [self._type(schema.get("items", {}), depth + 1)]
        if kind == "object" or "properties" in schema:
            fields = {
                name: self._type(row, depth + 1)
                for name, row in schema.get("properties", {}).items()
            }
            # The file writes such an object with a sample of its one kind of field.
            if len(fields) == 1 and _SAMPLE.fullmatch(next(iter(fields))):
                fields = {"*": next(iter(fields.values()))}
            more = schema.get("additionalProperties")
            if isinstance(more, dict) and more:
                fields["*"] = self._type(more, depth + 1)
            return fields or "any"
        if kind == "boolean":
            return "boolean"
        return _SCALARS.get(str(kind), "any")


def _merged(kinds: list[Any]) -> Any:
    """Several types as one."""
    different: list[Any] = []
    for kind in kinds:
        parts = kind["|"] if isinstance(kind, dict) and "|" in kind else [kind]
        different += [part for part in parts if part not in different]
    if not different or "any" in different:
        return "any"
    return different[0] if len(different) == 1 else {"|": different}


def table(document: Document) -> dict[str, Any]:
    """What the document says of everything that is simulated; None where it says nothing."""
    rows: dict[str, Any] = {}
    for method, path in simulated():
        operation = document.operation(method, path)
        rows[f"{method} {path}"] = operation and {
            "query": document.query(operation),
            "asked": document.asked(operation),
            "answer": document.answer(operation),
        }
    return dict(sorted(rows.items()))


def main(arguments: list[str]) -> int:
    """Write the table from the file that is named."""
    if len(arguments) != 1:
        sys.stderr.write("name the broker's OpenAPI file in JSON, and nothing else\n")
        return 2
    document = Document(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    TABLE.write_text(json.dumps(table(document), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
