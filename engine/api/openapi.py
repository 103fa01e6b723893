"""The OpenAPI 3.1 document and a page to read it, made from the route table.

Rule: nothing is described by hand that the table or a model already says.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from engine.api.answers import ErrorAnswer
from engine.api.events import EVENT_MODEL
from engine.api.fields import CONID_MAX
from engine.api.route import AnyRoute

Json: TypeAlias = dict[str, object]
_Keyed: TypeAlias = tuple[type[BaseModel], JsonSchemaMode]

_DISTRIBUTION: Final = "ibkr-execution-engine"
_REFERENCE: Final = "#/components/schemas/{model}"
_PATH_SCHEMAS: Final[Mapping[str, Json]] = {
    "account": {"type": "string", "pattern": "^[A-Za-z0-9]{1,32}$"},
    "order_id": {"type": "string", "pattern": "^[0-9A-Z]+-[0-9A-Z]+$"},
    "broker_order_id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    "conid": {"type": "integer", "minimum": 1, "maximum": CONID_MAX},
    "name": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,40}$"},
}
_ERRORS: Final[Mapping[int, str]] = {
    400: "A field is wrong; the error names it, its value and what is allowed",
    401: "No token, or a wrong one",
    403: "The token may only read, or the request comes from a foreign page",
    404: "There is no such thing",
    406: "The answer exists only as an event stream",
    408: "The body came too slowly",
    409: "The client_order_id already names another order, or the order is not one that this "
    "can be done to now",
    413: "The body is too large",
    415: "The body is not application/json",
    421: "The Host header is not one of the engine's names",
    429: "Too many wrong tokens from this address",
    500: "The engine failed to answer",
    503: "The engine cannot do it now; nothing was journaled",
}
_EVERYWHERE: Final = (400, 403, 421, 500)
_WITH_TOKEN: Final = (401, 429)
_WITH_BODY: Final = (408, 413, 415)


def openapi(routes: Sequence[AnyRoute]) -> Json:
    """Return the document that describes these routes."""
    references, definitions = models_json_schema(
        sorted(_models(routes), key=lambda keyed: (keyed[0].__name__, keyed[1])),
        ref_template=_REFERENCE,
    )
    by_model = {
        model: dict(schema)
        for (model, _), schema in references.items()
        if issubclass(model, BaseModel)
    }
    schemas = definitions.get("$defs", {})
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(
            route, by_model, schemas
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "IBKR execution engine",
            "version": _version(),
            "description": "Decimals are strings of plain digits; in requests JSON numbers do, "
            "too. Times are RFC 3339 in UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _version() -> str:
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        # `make` runs the engine from its source tree, which is not installed.
        return "0+source"


def _models(routes: Iterable[AnyRoute]) -> set[_Keyed]:
    models: set[_Keyed] = {(ErrorAnswer, "serialization"), (EVENT_MODEL, "serialization")}
    for route in routes:
        if route.body.model_fields:
            models.add((route.body, "validation"))
        if route.query.model_fields:
            models.add((route.query, "validation"))
        models |= {
            (model, "serialization") for model in route.answers.values() if isinstance(model, type)
        }
    return models


def _operation(
    route: AnyRoute, by_model: Mapping[type[BaseModel], Json], schemas: Mapping[str, Json]
) -> Json:
    operation: Json = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route, by_model, schemas)],
        "responses": _responses(route, by_model),
    }
    if route.public:
        operation["security"] = []
    if route.body.model_fields:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_model[route.body]}},
        }
    return operation


def _operation_id(route: AnyRoute) -> str:
    words = re.findall(r"[a-z]+", route.path.replace("/v1", "").replace("{", "by_"))
    return "_".join((route.method.lower(), *words))


def _path_parameters(route: AnyRoute) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _query_parameters(
    route: AnyRoute, by_model: Mapping[type[BaseModel], Json], schemas: Mapping[str, Json]
) -> list[Json]:
    if not route.query.model_fields:
        return []
    name = str(by_model[route.query]["$ref"]).rsplit("/", 1)[-1]
    schema = schemas[name]
    properties = schema["properties"]
    assert isinstance(properties, dict)
    required = schema.get("required", [])
    assert isinstance(required, list)
    return [
        {"name": field, "in": "query", "required": field in required, "schema": field_schema}
        for field, field_schema in properties.items()
    ]


def _responses(route: AnyRoute, by_model: Mapping[type[BaseModel], Json]) -> Json:
    responses: Json = {}
    for status, model in route.answers.items():
        content: Json
        if isinstance(model, str):
            content = {model: {"schema": {"type": "string"}}}
        else:
            content = {"application/json": {"schema": by_model[model]}}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    statuses = {*_EVERYWHERE, *route.errors}
    if not route.public:
        statuses |= {*_WITH_TOKEN}
    if route.mutates:
        statuses |= {*_WITH_BODY}
    for status in sorted(statuses - set(route.answers)):
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": by_model[ErrorAnswer]}},
        }
    return responses


STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c2430;background:#fff}"
    "h2{border-top:1px solid #c9d2de;padding-top:1rem;font-size:1.1rem}"
    "code,h2{font-family:ui-monospace,monospace}"
    "table{border-collapse:collapse;margin:.5rem 0}"
    "td,th{border:1px solid #c9d2de;padding:.2rem .6rem;text-align:left;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{background:#12161c;color:#dde4ee}a{color:#8ab8ff}}"
)
"""The page's only style. There is no script, and nothing comes from elsewhere."""


def docs_page(document: Mapping[str, object]) -> str:
    """Return the document as a page that needs nothing else."""
    paths = document["paths"]
    components = document["components"]
    assert isinstance(paths, dict)
    assert isinstance(components, dict)
    sections = [
        _operation_section(path, method, operation)
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]
    schemas = [_schema_section(name, schema) for name, schema in components["schemas"].items()]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>IBKR execution engine API</title><style>{STYLE}</style></head><body>"
        "<h1>IBKR execution engine API</h1>"
        "<p>Send <code>Authorization: Bearer &lt;token&gt;</code>. The same in machine words: "
        '<a href="/openapi.json">openapi.json</a>.</p>'
        f"{''.join(sections)}<h1>Bodies</h1>{''.join(schemas)}</body></html>"
    )


def _operation_section(path: str, method: str, operation: Json) -> str:
    parameters = operation["parameters"]
    responses = operation["responses"]
    assert isinstance(parameters, list)
    assert isinstance(responses, dict)
    rows = [(f"{each['name']} ({each['in']})", _type_of(each["schema"])) for each in parameters]
    body = operation.get("requestBody")
    if isinstance(body, dict):
        rows.append(("body", _type_of(body["content"]["application/json"]["schema"])))
    for status, response in responses.items():
        kinds = [_type_of(content["schema"]) for content in response["content"].values()]
        rows.append((status, f"{response['description']}: {', '.join(kinds)}"))
    heading = html.escape(f"{method.upper()} {path}")
    return f"<h2>{heading}</h2><p>{html.escape(str(operation['summary']))}</p>{_table(rows)}"


def _schema_section(name: str, schema: Json) -> str:
    properties = schema.get("properties", {})
    assert isinstance(properties, dict)
    rows = [(field, _type_of(field_schema)) for field, field_schema in properties.items()]
    words = html.escape(str(schema.get("description", "")))
    return f'<h2 id="{html.escape(name)}">{html.escape(name)}</h2><p>{words}</p>{_table(rows)}'


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = [
        f"<tr><th><code>{html.escape(name)}</code></th><td>{html.escape(kind)}</td></tr>"
        for name, kind in rows
    ]
    return f"<table>{''.join(cells)}</table>" if cells else ""


def _type_of(schema: Mapping[str, object]) -> str:
    """Return a schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if isinstance(schema.get("anyOf"), list):
        parts = schema["anyOf"]
        assert isinstance(parts, list)
        return " or ".join(_type_of(part) for part in parts)
    if "enum" in schema:
        values = schema["enum"]
        assert isinstance(values, list)
        return " | ".join(str(value) for value in values)
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        items = schema["items"]
        assert isinstance(items, dict)
        return f"list of {_type_of(items)}"
    return str(schema.get("const", schema.get("type", "anything")))
