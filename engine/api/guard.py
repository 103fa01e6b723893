"""What every request passes before its handler, and what is noted of it after.

Rule 1: first where it comes from (Host, Origin), then who sends it (the token), then
what it asks. A browser that was lured here by another page fails at the first step.

Rule 2: nothing of a request is logged but its route, its status and who sent it.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, TypeAlias

from aiohttp import web

from engine import log as engine_log
from engine import metrics
from engine.api.errors import ApiError, detail, from_engine, from_http, shown
from engine.api.route import AnyRoute, refuse_large_body
from engine.api.token import Token, TokenScope

log = engine_log.get("api")

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

ORDER_ID: Final = web.RequestKey("order_id", str)
"""Set by a handler that made or touched an order, for the audit line."""

_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_UNMATCHED: Final = "unmatched"


class FailureCount:
    """How many wrong tokens each source showed in the last minute; bounded."""

    WINDOW_SECONDS: Final = 60.0
    FAILURES_MAX: Final = 10
    SOURCES_MAX: Final = 1024

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, source: str) -> bool:
        """Count one; True once the source has had its share of the minute."""
        now = self._clock()
        times = self._failures.setdefault(source, deque(maxlen=self.FAILURES_MAX + 1))
        self._failures.move_to_end(source)
        while times and now - times[0] >= self.WINDOW_SECONDS:
            times.popleft()
        times.append(now)
        if len(self._failures) > self.SOURCES_MAX:
            self._failures.popitem(last=False)
        return len(times) > self.FAILURES_MAX


class Guard:
    """The checks of one listener that serves the API."""

    def __init__(
        self,
        *,
        token: Token,
        host: str,
        allowed_hosts: Sequence[str],
        scheme: str,
        failures: FailureCount | None = None,
    ) -> None:
        self._token = token
        self._scheme = scheme
        self._failures = failures or FailureCount()
        names = (*_LOOPBACK_NAMES, host, *allowed_hosts)
        self._hosts = frozenset(_bracketed(name) for name in names if name)

    def admit(self, request: web.Request, route: AnyRoute | None) -> str | None:
        """Return the id of the token that was shown, None where none is needed.

        Raises:
            ApiError: when the request must not pass.
        """
        self._check_host(request)
        self._check_origin(request)
        if route is not None and route.public:
            return None
        self._check_token(request)
        return self._token.id

    def authorize(self, request: web.Request, route: AnyRoute | None) -> None:
        """Refuse what the token does not allow, and bodies that are too large."""
        refuse_large_body(request.content_length)
        if route is not None and route.mutates and self._token.scope is not TokenScope.FULL:
            raise ApiError(
                HTTPStatus.FORBIDDEN,
                "READ_ONLY_TOKEN",
                f"the token may only read; {route.method} {route.path} needs a full one",
                details={"field": "Authorization", "value": "read", "allowed": "full"},
            )

    def _check_host(self, request: web.Request) -> None:
        """Refuse names that are not ours: a page can point its own name at our address."""
        given = request.headers.getall("Host", [])
        if len(given) == 1 and _host_name(given[0]) in self._hosts:
            return
        value = ", ".join(given)
        raise ApiError(
            HTTPStatus.MISDIRECTED_REQUEST,
            "HOST_NOT_ALLOWED",
            f"Host is {shown(value)}; allowed: {', '.join(sorted(self._hosts))}",
            details={
                "field": "Host",
                "value": detail(value),
                "allowed": sorted(self._hosts),
            },
            close=True,
        )

    def _check_origin(self, request: web.Request) -> None:
        own = f"{self._scheme}://{request.headers['Host'].lower()}"
        for origin in request.headers.getall("Origin", []):
            if origin.lower() != own:
                raise _foreign(field="Origin", value=origin, allowed=f"{own}, or no Origin at all")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in {"none", "same-origin"}:
            raise _foreign(field="Sec-Fetch-Site", value=site, allowed="none, same-origin")

    def _check_token(self, request: web.Request) -> None:
        given = request.headers.getall("Authorization", [])
        if not given:
            raise _unauthorized(code="TOKEN_MISSING", problem="there is no Authorization header")
        scheme, _, presented = given[0].partition(" ")
        if len(given) == 1 and scheme.lower() == "bearer" and self._token.matches(presented):
            return
        # The right token passes however many wrong ones came from its address: on
        # loopback all clients share one, and none may keep another from cancelling.
        if self._failures.add(request.remote or ""):
            seconds = int(FailureCount.WINDOW_SECONDS)
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "TOO_MANY_FAILURES",
                f"more than {FailureCount.FAILURES_MAX} wrong tokens in {seconds} s "
                "from this address",
                headers={"Retry-After": str(seconds)},
                close=True,
            )
        raise _unauthorized(code="TOKEN_WRONG", problem="the token is wrong")


def _bracketed(name: str) -> str:
    """Return a host name as it stands in a Host header, without a port."""
    lowered = name.lower()
    if lowered.count(":") > 1 and not lowered.startswith("["):
        return f"[{lowered}]"
    return _host_name(lowered)


def _host_name(header: str) -> str:
    lowered = header.lower()
    if lowered.startswith("["):
        end = lowered.find("]")
        rest = lowered[end + 1 :]
        return lowered[: end + 1] if not rest or _is_port(rest) else ""
    name, colon, port = lowered.partition(":")
    return name if not colon or _is_port(colon + port) else ""


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isascii() and text[1:].isdigit()


def _foreign(*, field: str, value: str, allowed: str) -> ApiError:
    return ApiError(
        HTTPStatus.FORBIDDEN,
        "ORIGIN_NOT_ALLOWED",
        f"{field} is {shown(value)}; allowed: {allowed}",
        details={"field": field, "value": detail(value), "allowed": allowed},
        close=True,
    )


def _unauthorized(*, code: str, problem: str) -> ApiError:
    return ApiError(
        HTTPStatus.UNAUTHORIZED,
        code,
        f"{problem}; send `Authorization: Bearer <token>`",
        details={"field": "Authorization", "allowed": "Bearer <token>"},
        headers={"WWW-Authenticate": 'Bearer realm="engine"'},
    )


class Observer:
    """The outermost layer: errors become answers, and every request is counted."""

    def __init__(self, *, routes: Mapping[tuple[str, str], AnyRoute], guard: Guard | None) -> None:
        self._routes = routes
        self._guard = guard

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer the request, whatever becomes of it."""
        started = time.perf_counter()
        resource = request.match_info.route.resource
        path = _UNMATCHED if resource is None else resource.canonical
        route = self._routes.get((request.method, path))
        status = 0
        token_id: str | None = None
        try:
            if self._guard is not None:
                token_id = self._guard.admit(request, route)
                self._guard.authorize(request, route)
            response = await handler(request)
            status = response.status
        except Exception as error:  # noqa: BLE001 - the edge: whatever it was, the client gets an answer
            refused = _refusal(error)
            status = refused.status
            response = refused.response()
        finally:
            # A log line takes longer than to write the answer, which goes out first.
            seconds, later = time.perf_counter() - started, asyncio.get_running_loop().call_soon
            later(self._note, request, route, path, status, seconds)
            if route is not None and route.mutates:
                later(_audit, request, path, status, token_id)
        return response

    def _note(
        self,
        request: web.Request,
        route: AnyRoute | None,
        path: str,
        status: int,
        seconds: float,
    ) -> None:
        method = request.method if request.method in _METHODS else "other"
        # Status 0: the client was gone, or the server stopped, before there was one.
        metrics.API_REQUESTS.labels(path, method, str(status)).inc()
        if route is None or not route.stream:
            metrics.API_SECONDS.labels(path).observe(seconds)


def _audit(request: web.Request, path: str, status: int, token_id: str | None) -> None:
    """Note who asked for a change; `token_id` is None when the token was not the right one."""
    log.info(
        "api_called",
        route=path,
        method=request.method,
        status=status,
        account=request.match_info.get("account"),
        order_id=request.get(ORDER_ID, request.match_info.get("order_id")),
        token_id=token_id,
    )


def _refusal(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, web.HTTPException):
        return from_http(error)
    known = from_engine(error)
    if known is not None:
        return known
    if isinstance(error, ConnectionError):
        raise error  # the client is gone; there is nobody to answer
    log.error("api_failed", exc_info=error)
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "INTERNAL",
        "the engine failed to answer; its log has the cause. "
        "What was asked may have been done: look before asking again",
    )
