"""How a bug is planted: a method of the engine is another one for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def changed(target: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Replace a method by what `make` makes of it."""
    with mock.patch.object(target, name, make(getattr(target, name))):
        yield


@contextmanager
def replaced(target: Any, **values: Any) -> Iterator[None]:
    """Give a module, or a class, other values."""
    with mock.patch.multiple(target, **values):
        yield
