"""A real PostgreSQL server of its own for tests, in a folder of its own, on no port.

It listens on a socket in that folder only. `PostgresMissing` says what is not installed.
"""

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg
import psutil

READY: Final = "database system is ready to accept connections"
START_S_MAX: Final = 30.0
SOCKET: Final = ".s.PGSQL.5432"
MEMORY: Final = Path("/dev/shm")
ROOM_BYTES: Final = 2 << 30


class PostgresMissing(Exception):  # noqa: N818 - says what is so
    """There is no PostgreSQL on this machine."""


def binary(name: str) -> Path:
    """Find a program of PostgreSQL: in the PATH, or where Debian keeps it, the newest first."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
    )
    if not versions:
        message = f"missing: {name} of PostgreSQL (Debian: apt-get install postgresql)"
        raise PostgresMissing(message)
    return versions[-1]


def _unprivileged() -> dict[str, object]:
    """Whom the server runs as: it refuses to be root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            found = pwd.getpwnam(name)
            return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    message = "missing: a user that PostgreSQL may run as, postgres or nobody"
    raise PostgresMissing(message)


class PostgresServer:
    """A cluster in `folder`, which its server's user must own; `start` it, `stop` it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._user = _unprivileged()
        self._process: subprocess.Popen[str] | None = None
        self._log: threading.Thread | None = None
        self._ready = threading.Event()
        self._numbers = itertools.count(1)
        self._making = threading.Lock()
        self._shared: str | None = None
        self.lines: list[str] = []

    def make(self) -> None:
        """Make the cluster; it trusts whoever reaches its socket."""
        subprocess.run(
            [
                *(str(binary("initdb")), "--pgdata", str(self.folder / "data"), "--no-sync"),
                *("--auth=trust", "--username=engine", "--encoding=UTF8", "--locale=C"),
            ],
            check=True,
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            **self._user,  # type: ignore[call-overload]  # mypy cannot see into it
        )

    def start(self, *, ready: str = READY) -> None:
        """Start the server and wait until it says that it is ready."""
        self._ready.clear()
        process: subprocess.Popen[str] = subprocess.Popen(
            [
                *(str(binary("postgres")), "-D", str(self.folder / "data"), "-k", str(self.folder)),
                *("-c", "listen_addresses=", "-c", "shared_buffers=16MB"),
                *("-c", "dynamic_shared_memory_type=mmap"),  # which leaves nothing after a kill
            ],
            cwd=self.folder,
            env=self._environment(),
            stderr=subprocess.PIPE,
            text=True,
            **self._user,  # type: ignore[call-overload]  # as above
        )
        self._process = process
        self._log = threading.Thread(target=self._read_log, args=(process, ready), daemon=True)
        self._log.start()
        assert self._ready.wait(START_S_MAX), self.lines
        assert process.poll() is None, self.lines

    def kill(self) -> None:
        """End the server at once, as a power failure would, and wait until all of it is gone."""
        if self._process is not None:
            processes = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._wait()

    def stop(self) -> None:
        """End the server in an orderly way, and whoever is connected with it."""
        self._end(signal.SIGINT)

    def drop(self) -> None:
        """End the server without writing anything any more, but leave nothing in memory."""
        self._end(signal.SIGQUIT)

    @property
    def socket(self) -> Path:
        return self.folder / SOCKET

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://engine@/{database}?host={self.folder}"

    async def run(self, statement: str, *, database: str = "postgres") -> list[asyncpg.Record]:
        """Run a statement as the owner of the cluster."""
        connection = await asyncpg.connect(self.url(database))
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    async def reload(self, **settings: str | None) -> None:
        """Change settings of the running server, None takes them back, and wait for it."""
        connection = await asyncpg.connect(self.url())
        try:
            for name, value in settings.items():
                change = f"RESET {name}" if value is None else f"SET {name} = '{value}'"
                await connection.execute(f"ALTER SYSTEM {change}")
            before = await connection.fetchval("SELECT pg_conf_load_time()")
            await connection.execute("SELECT pg_reload_conf()")
            while await connection.fetchval("SELECT pg_conf_load_time()") == before:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.005)
        finally:
            await connection.close()

    def shared_database(self) -> str:
        """Return a database to be used again and again; a new one is some 300 files."""
        if self._shared is None:
            self._shared = self.new_database()
        return self._shared

    async def empty(self, database: str) -> None:
        """Remove the journals of a database, and what was set for it."""
        await self.run("DROP SCHEMA IF EXISTS engine_journal CASCADE", database=database)
        await self.run(f"ALTER DATABASE {database} RESET ALL")

    def drop_database(self, name: str) -> None:
        """Remove a database, and whoever is connected to it."""
        with self._making:
            asyncio.run(self.run(f"DROP DATABASE {name} WITH (FORCE)"))

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        with self._making:
            name = f"journal_{next(self._numbers)}"
            asyncio.run(self.run(f"CREATE DATABASE {name}"))
        return name

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._wait()

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "LC_ALL": "C"}

    def _read_log(self, process: subprocess.Popen[str], ready: str) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.lines.append(line)
                if ready in line:
                    self._ready.set()
        self._ready.set()  # it ended: nobody need wait any longer

    def _wait(self) -> None:
        assert self._process is not None
        assert self._log is not None
        self._process.wait()
        self._log.join()  # the last of its processes has closed the log
        self._process = None


def _memory() -> Path | None:
    """Where files are kept in memory: processes are killed here, no machine is; None if nowhere.

    Thousands of files that a busy disk syncs take a minute.
    """
    with suppress(OSError):
        if shutil.disk_usage(MEMORY).free >= ROOM_BYTES and os.access(MEMORY, os.W_OK):
            return MEMORY
    return None


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A server for a while. Raises `PostgresMissing`."""
    binary("initdb"), binary("postgres")
    # Not pytest's folder: the server's user must reach it, and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="journal-", dir=_memory()))
    server = PostgresServer(folder)
    try:
        user = server._user.get("user")
        if user is not None:
            shutil.chown(folder, user=user)  # type: ignore[call-overload]  # a user's number
        server.make()
        server.start()
        yield server
    finally:
        server.drop()
        shutil.rmtree(folder)
