"""Why a journal cannot be opened. Each says which one, what was found and what is needed."""


class JournalError(Exception):
    """The journal cannot be used; nothing may be sent."""


class JournalLocked(JournalError):  # noqa: N818 - says what is so
    """Another process, or this one, has the journal open."""


class JournalUnsupported(JournalError):  # noqa: N818 - as above
    """The file is of another version or program, or on a file system that loses writes."""


class JournalCorrupt(JournalError):  # noqa: N818 - as above
    """A record is not what was written. `seq` is the first that is wrong."""

    def __init__(self, where: object, seq: int, problem: str) -> None:
        self.seq = seq
        super().__init__(
            f"{where}: record {seq} is damaged: {problem}. The records before it are intact; "
            "restore a copy of the journal, or have a person compare it with the broker"
        )
