"""Connections that are kept for the next request, and whether one may still be used.

Rule 1: a kept connection on which there is something to read is not used. The gateway has
closed it, or it holds bytes of an answer that nobody asked for: they would be taken for the
answer to what is sent next. Nothing was written then, so another one may be taken.

Rule 2: this is looked at right before the first byte of a request, in the same turn of the
loop, with the operating system's word. What comes in the instant after that is not seen:
then the request counts as sent.
"""

import select
from typing import Any
from weakref import WeakSet

from aiohttp import ClientRequest, ClientResponse
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

__all__ = ["CheckedRequest", "UnusableConnection"]


class UnusableConnection(Exception):  # noqa: N818 - says what it is, is caught by the client
    """The connection that was kept cannot be used any more; nothing was written to it."""


class CheckedRequest(ClientRequest):
    """A request that looks at its connection before it is written to it."""

    async def send(self, conn: Connection) -> ClientResponse:
        """Write the request. Raises `UnusableConnection` when nothing was, and why."""
        protocol = conn.protocol
        assert protocol is not None, "a connection that is taken has a protocol"
        if protocol in _USED and (protocol.should_close or _is_readable(protocol)):
            message = "the connection was closed, or something came over it, while it was kept"
            raise UnusableConnection(message)
        _USED.add(protocol)
        return await super().send(conn)


_USED: WeakSet[ResponseHandler] = WeakSet()
"""Connections that had a request. A new one may have the rest of its handshake to read."""


def _is_readable(protocol: ResponseHandler) -> bool:
    """Say whether bytes or the end wait in the socket; False for what is no socket."""
    assert protocol.transport is not None, "a connection that is taken is open"
    socket: Any = protocol.transport.get_extra_info("socket")
    if socket is None:
        return False
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))
