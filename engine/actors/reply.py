"""The answer to an `ask`, which is awaited on the loop."""

import asyncio
from collections.abc import Generator
from types import TracebackType
from typing import Any

import pykka


class WouldBlockError(RuntimeError):
    """A reply was asked for on the loop before it was there; await it instead."""


class Reply(pykka.Future[Any]):
    """Set once, awaited on the loop, and never waited for with a blocked thread."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    @property
    def forsaken(self) -> bool:
        """True when whoever asked does not wait any more."""
        return self._answer.cancelled()

    def get(self, *, timeout: float | None = None) -> Any:  # noqa: ARG002 - pykka's signature
        """Return the answer if it is there. Raises `WouldBlockError` if it is not."""
        if not self._answer.done():
            msg = "the answer is not there yet; await the reply instead"
            raise WouldBlockError(msg)
        return self._answer.result()

    def set(self, value: Any | None = None) -> None:
        """Answer."""
        if not self._answer.done():
            self._answer.set_result(value)

    def set_exception(
        self,
        exc_info: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
        | None = None,
    ) -> None:
        """Answer with the exception."""
        assert exc_info is not None
        assert exc_info[1] is not None
        if not self._answer.done():
            self._answer.set_exception(exc_info[1])

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer.__await__()
