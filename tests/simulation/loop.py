"""A loop of one thread whose time is skipped, and from which a process can be torn out.

Rule 1: nothing real: no socket, no other thread, no waiting. When nobody has anything to
do before some moment, that moment is now; when nobody ever will, the loop raises.

Rule 2: who runs belongs to a `Process`, and so does all that it starts. A process that is
killed runs no further instruction; the others do not notice, but by the silence.
"""

import asyncio
import contextvars
import heapq
import weakref
from asyncio import format_helpers
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn, TypeVar

T = TypeVar("T")

START_S: Final = 1_000.0
TIMERS_KEPT: Final = 100
"""So many timers may wait before those that were cancelled are looked for."""
TASKS_KEPT: Final = 100
"""So many tasks are remembered before those that have ended are looked for."""

_RESOLUTION_S: Final = 1e-9
"""What is due so soon is due now."""


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


class Soon(asyncio.Handle):
    """What is to be called at once. It is asyncio's own, without what nobody asks it for."""

    __slots__ = ()

    _callback: Any
    _args: Any
    _context: contextvars.Context

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._callback}>"

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None


class Later(asyncio.TimerHandle):
    """What is to be called at a time, as above."""

    __slots__ = ()

    _callback: Any
    _args: Any
    _context: contextvars.Context
    _loop: "VirtualLoop"
    _when: float
    _scheduled: bool

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: "VirtualLoop",
        context: contextvars.Context | None,
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False
        self._scheduled = True

    # Two of the same time: whoever came first is not what a heap looks at.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __lt__(self, other: object) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._callback} at {self._when:.6f} s>"

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None
            if self._scheduled:
                self._loop.cancelled_timers += 1


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one simulated day.

    Most of a day is its steps, so those of `BaseEventLoop` are done here again, for one
    thread and without sockets: in the same order, and at half the price.
    """

    # What `BaseEventLoop` has to run: at once, and later.
    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self.cancelled_timers = 0
        self._now_s = START_S
        self._now_ns = round(START_S * 1e9)
        self._timers: list[tuple[float, Later]] = []
        self._tasks: list[tuple[weakref.ref[asyncio.Task[Any]], Process | None]] = []
        self._tasks_max = TASKS_KEPT

    def time(self) -> float:
        """Return the day's time, in seconds."""
        return self._now_s

    def time_ns(self) -> int:
        """Return the day's time as the engine's clocks count it."""
        return self._now_ns

    def pause(self, seconds: float) -> None:
        """Let time pass at once: everything that was due meanwhile comes late."""
        self._now_s += seconds
        self._now_ns = round(self._now_s * 1e9)

    # --- steps -----------------------------------------------------------------------------

    def call_soon(  # type: ignore[override] # any callback, any arguments
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call it after what was to be called before."""
        handle = Soon(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override] # as above
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call it at that time of the day."""
        timer = Later(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, timer))
        return timer

    def call_later(  # type: ignore[override] # as above
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call it after so many seconds."""
        when = self._now_s + delay
        timer = Later(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, timer))
        return timer

    def _run_once(self) -> None:
        """Run all there is until somebody stops the loop."""
        ready, pop = self._ready, heapq.heappop
        while not self._stopping:
            timers = self._tidy_timers()
            if not ready:
                if not timers:
                    text = (
                        f"at {self._now_s:.6f} s everybody waits for something that nobody will do"
                    )
                    raise Stalled(text)
                # Nobody has anything to do until then: skip what would be waited.
                self._now_s += max(0, timers[0][0] - self._now_s)
                self._now_ns = round(self._now_s * 1e9)
            due_s = self._now_s + _RESOLUTION_S
            while timers and timers[0][0] < due_s:
                timer = pop(timers)[1]
                timer._scheduled = False
                ready.append(timer)
            # What these call for comes after what is due by then.
            for _ in range(len(ready)):
                handle: Any = ready.popleft()
                if not handle._cancelled:
                    try:
                        handle._context.run(handle._callback, *handle._args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:  # noqa: BLE001 - as asyncio's own loop does
                        self._tell_of(handle, error)

    def _tidy_timers(self) -> list[tuple[float, Later]]:
        """Forget timers that were cancelled: those that come first, or all when most were."""
        timers = self._timers
        if len(timers) > TIMERS_KEPT and self.cancelled_timers * 2 > len(timers):
            kept = []
            for entry in timers:
                if entry[1]._cancelled:
                    entry[1]._scheduled = False
                else:
                    kept.append(entry)
            heapq.heapify(kept)
            self._timers = timers = kept
            self.cancelled_timers = 0
        else:
            while timers and timers[0][1]._cancelled:
                self.cancelled_timers -= 1
                heapq.heappop(timers)[1]._scheduled = False
        return timers

    def _tell_of(self, handle: Any, error: BaseException) -> None:
        source = format_helpers._format_callback_source(handle._callback, handle._args)
        self.call_exception_handler(
            {"message": f"Exception in callback {source}", "exception": error, "handle": handle}
        )

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
        handles: tuple[Any, ...] = (*self._ready, *(timer for _, timer in self._timers))
        for handle in handles:
            # One that was cancelled keeps the context that it would have run in.
            if handle._context.get(_RUNNING) is process and not _unwinds(handle):
                handle.cancel()
        for task, owner in self._owned():
            if owner is process:
                task.cancel()

    def cancel_all(self) -> None:
        """Cancel every task that has not ended."""
        for task, _ in self._owned():
            task.cancel()

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[Any]":
        """Start a task, which belongs to whoever runs, or to whom the context belongs."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)  # type: ignore[arg-type]
        owner = _RUNNING.get() if context is None else context.get(_RUNNING)
        if len(self._tasks) > self._tasks_max:
            self._tasks = [entry for entry in self._tasks if _lives(entry[0]())]
            self._tasks_max = TASKS_KEPT + 2 * len(self._tasks)
        self._tasks.append((weakref.ref(task), owner))
        return task

    def _owned(self) -> "list[tuple[asyncio.Task[Any], Process | None]]":
        """Return the tasks that have not ended, the oldest first, and to whom they belong."""
        found = ((reference(), owner) for reference, owner in self._tasks)
        return [(task, owner) for task, owner in found if task is not None and not task.done()]


def _lives(task: "asyncio.Task[Any] | None") -> bool:
    return task is not None and not task.done()


def _unwinds(handle: Any) -> bool:
    """Tell the step of a task, which has to see that the task was cancelled."""
    callback = handle._callback
    return (
        type(callback).__name__ == "TaskStepMethWrapper"
        or isinstance(getattr(callback, "__self__", None), asyncio.Future)
        or bool(handle._args and isinstance(handle._args[0], asyncio.Future))
    )
