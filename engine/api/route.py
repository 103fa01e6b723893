"""A route of the API: one row of the table that serves, checks and documents it.

Rule: a handler gets its query and its body already validated by the models that the row
names, and the same models make the OpenAPI document; the two cannot differ.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Generic, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from engine.api import strict_json
from engine.api.errors import ApiError, bad_field, detail, from_validation, shown, unknown_account
from engine.api.fields import CONID_ALLOWED, read_conid_text
from engine.api.token import Token
from engine.domain.ports import Engine, UnknownAccount
from engine.domain.values import AccountId, ConId

BODY_BYTES_MAX: Final = 64 * 1024

Q = TypeVar("Q", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the server waits for a client before it lets the client go."""

    body_seconds: float = 30.0
    """For a whole request body."""
    idle_seconds: float = 30.0
    """For a request on an open connection, the first one included."""
    blocked_seconds: float = 10.0
    """For a client of the event stream to read what was sent to it."""
    linger_seconds: float = 1.0
    """For a client that is refused early to stop sending and read why."""
    keep_alive_seconds: float = 15.0
    """Between two signs of life on an event stream that has nothing to say."""


class Streams:
    """The open event streams; setting one's event ends it."""

    def __init__(self) -> None:
        self._open: set[asyncio.Event] = set()

    def open(self) -> asyncio.Event:
        """Return the event that ends a new stream."""
        ended = asyncio.Event()
        self._open.add(ended)
        return ended

    def close(self, ended: asyncio.Event) -> None:
        """Forget a stream that is over."""
        self._open.discard(ended)

    def end_all(self) -> None:
        """End every stream; the server is stopping."""
        for ended in self._open:
            ended.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What handlers work with beside the request."""

    engine: Engine
    token: Token
    patience: Patience
    streams: Streams
    openapi: bytes
    docs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Q, B]):
    """One request, validated."""

    request: web.Request
    served: Served
    query: Q
    body: B

    @property
    def engine(self) -> Engine:
        """The engine that is asked."""
        return self.served.engine

    @property
    def caller(self) -> str:
        """Who asks, as the journal records it."""
        return f"api:{self.served.token.id}"

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.match_info[name]

    def account(self) -> AccountId:
        """Return the account in the path, which the engine is known to have."""
        account = AccountId(self.path("account"))
        known_account(self.engine, account)
        return account

    def conid(self) -> ConId:
        """Return the conid in the path."""
        text = self.path("conid")
        try:
            return ConId(read_conid_text(text))
        except PydanticCustomError:
            raise bad_field(field="conid", value=text, allowed=CONID_ALLOWED) from None


def known_account(engine: Engine, account: AccountId) -> None:
    """Refuse an account that no session has, with the list of those that one has."""
    try:
        engine.account(account)
    except UnknownAccount:
        known = [each.account for each in engine.accounts()]
        raise unknown_account(account, known) from None


Handler: TypeAlias = Callable[[Call[Q, B]], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[Q, B]):
    """One row of the table. `answers` are the bodies by status; errors are all alike.

    `public` needs no token; `stream` stays open, so its time says nothing.
    """

    method: str
    path: str
    summary: str
    query: type[Q]
    body: type[B]
    answers: Mapping[int, type[BaseModel] | str]
    handler: Handler[Q, B]
    public: bool = False
    stream: bool = False
    errors: tuple[int, ...] = field(default=())

    @property
    def mutates(self) -> bool:
        """True when a read-only token does not suffice and an audit line is due."""
        return self.method != "GET"

    async def handle(self, request: web.Request, served: Served) -> web.StreamResponse:
        """Validate the request and have it answered."""
        query = _read_query(request, self.query)
        content = await _read_body(request, served.patience) if self.mutates else b""
        body = _parse_body(content, self.body)
        call = Call(request=request, served=served, query=query, body=body)
        return await self.handler(call)


AnyRoute: TypeAlias = Route[Any, Any]


def answer(body: BaseModel, status: int = HTTPStatus.OK) -> web.Response:
    """Return `body` as the answer."""
    return web.Response(
        status=status, body=body.model_dump_json().encode(), content_type="application/json"
    )


def _read_query(request: web.Request, model: type[Q]) -> Q:
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise ApiError(
                HTTPStatus.BAD_REQUEST,
                "BAD_FIELD",
                f"{shown(name)} is given twice in the query; allowed: once",
                details={"field": name, "value": detail(value), "allowed": "once"},
            )
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise from_validation(error, model) from None


def _parse_body(content: bytes, model: type[B]) -> B:
    if not content and not model.model_fields:
        return model()
    try:
        value = strict_json.read(content)
    except strict_json.BadJson as error:
        raise ApiError(
            HTTPStatus.BAD_REQUEST,
            "BAD_JSON",
            f"the body is not the JSON this API takes: {error}",
            details={"field": "body", "allowed": "one JSON object in UTF-8"},
        ) from None
    if not isinstance(value, dict):
        raise bad_field(field="body", value=value, allowed="a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise from_validation(error, model) from None


def refuse_large_body(length: int | None) -> None:
    """Refuse a body by its announced length, before a byte of it is read."""
    if length is None or length <= BODY_BYTES_MAX:
        return
    raise ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "BODY_TOO_LARGE",
        f"body of {length} bytes, limit is {BODY_BYTES_MAX} bytes",
        details={"field": "body", "value": length, "allowed": BODY_BYTES_MAX},
        close=True,
    )


def _check_content(request: web.Request) -> None:
    """Refuse everything but plain JSON: a page's form cannot send that across origins."""
    given = request.headers.get("Content-Type", "")
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset not in {"utf-8", "utf8"}:
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            f"Content-Type is {shown(given)}; allowed: application/json in UTF-8",
            details={
                "field": "Content-Type",
                "value": detail(given),
                "allowed": "application/json in UTF-8",
            },
            close=True,
        )
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            f"Content-Encoding is {shown(encoding)}; allowed: none",
            details={"field": "Content-Encoding", "value": detail(encoding), "allowed": "none"},
            close=True,
        )


async def _read_body(request: web.Request, patience: Patience) -> bytes:
    """Return the body, or refuse it the moment it is too long, too slow or not JSON."""
    refuse_large_body(request.content_length)
    if not request.can_read_body:
        return b""
    _check_content(request)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # else it would count as the answer's beginning
    content = bytearray()
    try:
        if request.content.is_eof():  # It came with its headers, as most do.
            content += request.content.read_nowait()
            refuse_large_body(len(content))
        else:
            async with asyncio.timeout(patience.body_seconds):
                while chunk := await request.content.readany():
                    content += chunk
                    refuse_large_body(len(content))
    except TimeoutError:
        raise ApiError(
            HTTPStatus.REQUEST_TIMEOUT,
            "BODY_TOO_SLOW",
            f"{len(content)} bytes of the body came in {patience.body_seconds:g} s, "
            "which is the limit for all of it",
            details={"field": "body", "value": len(content), "allowed": patience.body_seconds},
            close=True,
        ) from None
    except web.RequestPayloadError:
        raise ApiError(
            HTTPStatus.BAD_REQUEST, "BAD_BODY", "the body broke off or is badly framed", close=True
        ) from None
    return bytes(content)
