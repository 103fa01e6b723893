"""What one column of the grid needs of another; `app.py` fills these in.

A port's methods return at once unless they are `async`. What takes time is answered by
a message through the `tell` that the port was given.

One file a subject; everything is imported from here.
"""

from engine.domain.ports.engine import (
    ChangeRefused,
    Engine,
    EngineDraining,
    JournalUnavailable,
    NotModifiable,
    NotResolvable,
    OrderFilter,
    ResolveRequest,
    SubmitRequest,
    SubmitResult,
    Submitted,
    TermsChange,
    UnknownAccount,
    UnknownExternalOrder,
    UnknownOrder,
    UnknownSession,
)
from engine.domain.ports.gateway import (
    AgedInstrument,
    AlgoParameterRule,
    AlgoRule,
    AmbiguousSymbol,
    ContractQuery,
    DataGateway,
    FeedGateway,
    HistoryQuery,
    InstrumentGateway,
    OrderEncoder,
    OrderGateway,
    SessionGateway,
)
from engine.domain.ports.journal import (
    Committed,
    Entry,
    Journal,
    NotCommitted,
    Recorded,
    Snapshot,
)

__all__ = [
    "AgedInstrument",
    "AlgoParameterRule",
    "AlgoRule",
    "AmbiguousSymbol",
    "ChangeRefused",
    "Committed",
    "ContractQuery",
    "DataGateway",
    "Engine",
    "EngineDraining",
    "Entry",
    "FeedGateway",
    "HistoryQuery",
    "InstrumentGateway",
    "Journal",
    "JournalUnavailable",
    "NotCommitted",
    "NotModifiable",
    "NotResolvable",
    "OrderEncoder",
    "OrderFilter",
    "OrderGateway",
    "Recorded",
    "ResolveRequest",
    "SessionGateway",
    "Snapshot",
    "SubmitRequest",
    "SubmitResult",
    "Submitted",
    "TermsChange",
    "UnknownAccount",
    "UnknownExternalOrder",
    "UnknownOrder",
    "UnknownSession",
]
