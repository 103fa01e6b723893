"""A loop of one thread whose time is skipped, and from which a process can be torn out.

Rule 1: nothing real: no socket, no other thread, no waiting. When nobody has anything to
do before some moment, that moment is now; when nobody ever will, the loop raises.

Rule 2: who runs belongs to a `Process`, and so does all that it starts. A process that is
killed runs no further instruction; the others do not notice, but by the silence.
"""

import asyncio
import contextvars
import weakref
from collections.abc import Coroutine, Iterable
from typing import Any, Final, NoReturn, TypeVar

T = TypeVar("T")

START_S: Final = 1_000.0


class Stalled(AssertionError):  # noqa: N818 - says what is so
    """Everybody waits for something that nobody is going to do."""


class Unreal(AssertionError):  # noqa: N818 - as above
    """Something reached for a real socket, a thread or the machine's time."""


class Process:
    """Something that can be killed: an engine. Its name is for messages."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.killed = False
        self.context: contextvars.Context = contextvars.copy_context()
        self.context.run(_RUNNING.set, self)


_RUNNING: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def running_process() -> Process | None:
    """Return the process whose code runs now, None for the world around it."""
    return _RUNNING.get()


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one simulated day."""

    # What `BaseEventLoop` has to run: at once, and later.
    _ready: Iterable[asyncio.Handle]
    _scheduled: Iterable[asyncio.Handle]

    def __init__(self) -> None:
        super().__init__()
        self._now_s = START_S
        self._selector = self  # `BaseEventLoop` waits by `select`, and for nothing else.
        self._owners: weakref.WeakKeyDictionary[asyncio.Task[Any], Process | None] = (
            weakref.WeakKeyDictionary()
        )
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Return the day's time, in seconds."""
        return self._now_s

    def time_ns(self) -> int:
        """Return the day's time as the engine's clocks count it."""
        return round(self._now_s * 1e9)

    def pause(self, seconds: float) -> None:
        """Let time pass at once: everything that was due meanwhile comes late."""
        self._now_s += seconds

    def select(self, timeout: float | None) -> list[Any]:
        """Skip what would be waited."""
        if timeout is None:
            text = f"at {self._now_s:.6f} s everybody waits for something that nobody will do"
            raise Stalled(text)
        self._now_s += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """Wake nobody: there is one thread."""

    def run_in_executor(self, *work: Any) -> NoReturn:  # type: ignore[override] # refuses anything
        """Refuse: a thread would make the day unrepeatable."""
        text = f"{work} was to run in a thread"
        raise Unreal(text)

    async def create_connection(self, *args: Any, **options: Any) -> NoReturn:
        """Refuse: there is no network but the simulated one."""
        text = f"a real connection was to be opened: {args} {options}"
        raise Unreal(text)

    async def create_server(self, *args: Any, **options: Any) -> NoReturn:
        """Refuse, as above."""
        text = f"a real port was to be opened: {args} {options}"
        raise Unreal(text)

    async def getaddrinfo(self, *args: Any, **options: Any) -> NoReturn:
        """Refuse, as above."""
        text = f"a real name was to be looked up: {args} {options}"
        raise Unreal(text)

    # --- processes -------------------------------------------------------------------------

    def start(self, process: Process, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run `work` as a part of `process`, with everything that it will start."""
        return self.create_task(work, context=process.context)

    def kill(self, process: Process) -> None:
        """Stop a process between two instructions: none of its timers fires any more.

        Its tasks are then unwound, so that Python has nothing to complain of. What they do
        meanwhile reaches nobody: the process is dead, and whoever it reached for knows.
        """
        process.killed = True
        handles: tuple[Any, ...] = (*self._ready, *self._scheduled)
        for handle in handles:
            if handle._context.get(_RUNNING) is process and not _unwinds(handle):
                handle.cancel()
        for task, owner in tuple(self._owners.items()):
            if owner is process and not task.done():
                task.cancel()

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Any, context: Any = None
    ) -> "asyncio.Task[Any]":
        task = asyncio.Task(work, loop=loop, context=context)
        self._owners[task] = _RUNNING.get() if context is None else context.get(_RUNNING)
        return task


def _unwinds(handle: Any) -> bool:
    """Tell the step of a task, which has to see that the task was cancelled."""
    callback = handle._callback
    return (
        type(callback).__name__ == "TaskStepMethWrapper"
        or isinstance(getattr(callback, "__self__", None), asyncio.Future)
        or bool(handle._args and isinstance(handle._args[0], asyncio.Future))
    )
