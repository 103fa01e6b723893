"""Answers as the server's library sends them: chunked, dated, or only in part."""

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from aiohttp import web

from engine.sim.answers import Answer

NOT_FOUND: Final = Answer(
    body="<html><body><h1>Resource not found</h1></body></html>",
    status=404,
    is_text=True,
    content_type="text/html",
)
EDGE_PAGE: Final = Answer(
    body="<html><body><h1>Access Denied</h1></body></html>",
    status=403,
    is_text=True,
    content_type="text/html",
)
PREFLIGHT_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST,GET,OPTIONS,DELETE,PUT",
    "Access-Control-Allow-Headers": "Content-Type,portal,Cookie",
}


def response_to(answer: Answer, now_ms: int) -> web.Response:
    """A whole answer, chunked as the gateway's are."""
    response = web.Response(
        body=answer.encoded(),
        status=answer.status,
        content_type=answer.content_type,
        charset="utf-8",
        headers=date_header(now_ms),
    )
    response.enable_chunked_encoding()
    return response


def date_header(now_ms: int) -> dict[str, str]:
    """The date by the gateway's own clock: the server's library would read the machine's."""
    return {"Date": _date(now_ms // 1000)}


@lru_cache(maxsize=64)
def _date(now_s: int) -> str:
    return format_datetime(datetime.fromtimestamp(now_s, UTC), usegmt=True)


def raw(answer: Answer) -> bytes:
    """The whole answer as it would go over the wire, for cutting it anywhere."""
    body = answer.encoded()
    head = (
        f"HTTP/1.1 {answer.status} OK\r\n"
        f"Content-Type: {answer.content_type}; charset=utf-8\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
        f"{len(body):x}\r\n"
    )
    return head.encode() + body + b"\r\n0\r\n\r\n"
