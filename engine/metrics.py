"""Every metric of the engine, declared once, with its help text and its labels.

Rule 1: names are `engine_<noun>_<unit>[_total]`; labels come from closed sets, never an
order id or a conid.

Rule 2: metrics are observed in shells, never in `domain`, and never per tick: the feed
counts in Rust and is added up here once per socket read.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase

from engine.domain.values import AccountId

# A creation time for each series is a third more of them, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call] # it has no annotations

REGISTRY: Final = CollectorRegistry()

_FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_NETWORK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)


class _Found(MetricWrapperBase):
    """Remembers the series of its labels: the library makes texts of them each time it looks.

    The series are few and stay, so what is remembered stays, too.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._found: dict[tuple[object, ...], Self] = {}

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self:
        """Return the series of these labels, as the library does."""
        found = self._found.get(labelvalues)
        if found is None or labelkwargs:
            found = super().labels(*labelvalues, **labelkwargs)
            if not labelkwargs:
                self._found[labelvalues] = found
        return found


class _Counter(_Found, Counter):
    """A counter that finds its series fast."""


class _Gauge(_Found, Gauge):
    """A gauge that finds its series fast."""


class _Histogram(_Found, Histogram):
    """A histogram that finds its series fast."""


def _counter(name: str, text: str, *labels: str) -> Counter:
    return _Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return _Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return _Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


# The engine
BUILD_INFO: Final = _gauge("engine_build_info", "1, with the version and mode.", "version", "mode")
LOOP_LAG_SECONDS: Final = _gauge(
    "engine_event_loop_lag_seconds", "How late the event loop ran its last one-second timer."
)
ANOMALIES: Final = _counter(
    "engine_anomalies_total", "Messages a machine did not expect and ignored.", "machine", "kind"
)

# Sessions
SESSION_STATE: Final = _gauge(
    "engine_session_state", "1 for the state that a session is in, 0 for the others.",
    "session", "state",
)  # fmt: skip
SESSION_EPOCH: Final = _gauge(
    "engine_session_epoch", "Number of the session's current brokerage login.", "session"
)
TICKLE_FAILURES: Final = _counter(
    "engine_tickle_failures_total", "Keep-alive requests that failed.", "session"
)
SESSION_LOGIN_DEADLINE: Final = _gauge(
    "engine_session_login_deadline_timestamp_seconds",
    "When the login ends or, while one is needed, by when a person should have logged in.",
    "session",
)
SESSION_LOGIN_OVERDUE: Final = _gauge(
    "engine_session_login_overdue", "1 once a login was needed for longer than the grace time.",
    "session",
)  # fmt: skip
SESSION_LOGIN_FAILURES: Final = _gauge(
    "engine_session_login_failures", "Brokerage logins that were refused in a row.", "session"
)
STREAM_DIVERGENCE: Final = _counter(
    "engine_stream_divergence_total", "Changes that a poll showed and the stream did not tell.",
    "session", "topic",
)  # fmt: skip
NOTICES: Final = _counter(
    "engine_broker_notices_total", "Notices, bulletins and prompts of the broker.",
    "session", "kind",
)  # fmt: skip

# HTTP to the gateway
HTTP_SECONDS: Final = _histogram(
    "engine_http_request_seconds", "Time from sending a request to its answer.", _NETWORK,
    "session", "endpoint", "outcome",
)  # fmt: skip
HTTP_IN_FLIGHT: Final = _gauge(
    "engine_http_inflight", "Requests to the gateway that wait for their answer.", "session"
)
HTTP_429: Final = _counter(
    "engine_http_429_total", "Answers that said the pace was too high.", "session"
)
PACING_WAIT_SECONDS: Final = _histogram(
    "engine_ratelimit_wait_seconds", "Time a request waited for its turn to be sent.", _NETWORK,
    "session", "lane",
)  # fmt: skip
PACING_QUEUE: Final = _gauge(
    "engine_ratelimit_queue", "Requests that wait for their turn to be sent.", "session", "lane"
)
PACING_TOKENS: Final = _gauge(
    "engine_ratelimit_tokens", "Requests that a bucket would let pass right now.",
    "session", "bucket",
)  # fmt: skip
PACING_PENALTY_SECONDS: Final = _gauge(
    "engine_ratelimit_penalty_seconds", "How long nothing but a lone cancel is sent; 0 is normal.",
    "session",
)  # fmt: skip

# The WebSocket
WS_CONNECTED: Final = _gauge(
    "engine_ws_connected", "1 while the WebSocket is past its system.success.", "session"
)
WS_RECONNECTS: Final = _counter(
    "engine_ws_reconnects_total", "WebSocket connections that were lost.", "session"
)
WS_BYTES: Final = _counter("engine_ws_received_bytes_total", "Bytes received.", "session")
WS_FRAMES: Final = _counter("engine_ws_frames_total", "Frames received.", "session")
WS_MESSAGES: Final = _counter("engine_ws_messages_total", "Whole messages received.", "session")
WS_PROTOCOL_ERRORS: Final = _counter(
    "engine_ws_protocol_errors_total", "Connections failed for breaking RFC 6455.", "session"
)
TICKS: Final = _counter("engine_ticks_total", "Market data updates merged.", "session")
BAD_FIELDS: Final = _counter(
    "engine_tick_bad_fields_total", "Market data fields that could not be read.", "session"
)
LATE_TICKS: Final = _counter(
    "engine_late_ticks_total", "Trades that came after their bar was closed.", "session"
)
BARS_CLOSED: Final = _counter("engine_bars_closed_total", "Time bars closed.", "session")
SUBSCRIPTIONS: Final = _gauge(
    "engine_market_data_subscriptions", "Contracts whose market is streamed.", "session"
)

# Orders
ORDERS: Final = _gauge("engine_orders", "Orders of this journal by state.", "state")
ORDERS_IN_DOUBT: Final = _gauge(
    "engine_orders_in_doubt", "Orders that may or may not be at the broker.", "account"
)
SUBMIT_SECONDS: Final = _histogram(
    "engine_order_submit_seconds",
    "Time of one step of a submit: intent (approved until durable), turn (until the lane "
    "is the order's and the attempt durable), ack (until the broker's final answer).",
    _NETWORK, "phase",
)  # fmt: skip
MODIFIES: Final = _counter(
    "engine_order_modifies_total",
    "Modifies, by what became of them: applied, refused, not_sent, not_applied.", "result",
)  # fmt: skip
QUESTIONS: Final = _counter(
    "engine_questions_total", "Questions of the broker, by what was answered.",
    "message_id", "answer",
)  # fmt: skip
REJECTS: Final = _counter(
    "engine_rejects_total", "Orders refused, by who refused and why.", "source", "code"
)
FILLS: Final = _counter("engine_fills_total", "Executions booked.", "account")
LATE_FILLS: Final = _counter(
    "engine_fills_late_total", "Executions of orders that were already terminal.", "account"
)
LATE_ANSWERS: Final = _counter(
    "engine_late_answers_total", "Answers to order requests that came after their deadline.",
    "session", "outcome",
)  # fmt: skip
DOUBTS_ENDED: Final = _counter(
    "engine_orders_doubt_ended_total",
    "Orders in doubt that ended it: found, absent, parked or resolved.", "how",
)  # fmt: skip
IN_DOUBT_SECONDS: Final = _histogram(
    "engine_order_in_doubt_seconds", "How long an order was in doubt until it was found, "
    "proven absent, parked or resolved.", (1, 2.5, 5, 10, 30, 60, 120, 180, 300, 600, 3600), "how",
)  # fmt: skip
LATE_SIGHTINGS: Final = _counter(
    "engine_orders_late_sightings_total", "Orders that showed up after they were proven absent.",
    "account",
)  # fmt: skip
DUPLICATES: Final = _counter(
    "engine_orders_duplicated_total", "Second orders of the broker under one id of ours.",
    "account",
)  # fmt: skip
UNPROTECTED: Final = _gauge(
    "engine_orders_unprotected", "Entries of brackets whose exit is missing.", "account"
)
VISIBILITY_SECONDS: Final = _histogram(
    "engine_order_visibility_seconds",
    "Time from an order's acknowledgement until the broker's list or trades first showed it.",
    (0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300), "session", "view",
)  # fmt: skip
EXTERNAL_ORDERS: Final = _gauge(
    "engine_external_orders", "Orders at the broker that this engine did not send.", "session"
)

# Risk
RISK_DENIALS: Final = _counter(
    "engine_risk_denials_total", "Orders that a risk check refused.", "account", "check"
)
RISK_UTILISATION: Final = _gauge(
    "engine_risk_limit_utilisation", "Share of a limit in use at the last order, 1 is full.",
    "account", "check",
)  # fmt: skip
RISK_STATE: Final = _gauge(
    "engine_risk_state",
    "Trading state of an account: 0 normal, 1 reduce only, 2 cancel only, 3 halt.", "account",
)  # fmt: skip
RISK_POLICY_VERSION: Final = _gauge(
    "engine_risk_policy_version", "Version of the risk file that is in force."
)
RISK_RELOAD_OK: Final = _gauge(
    "engine_risk_last_reload_successful", "0 while the risk file on disk is refused."
)
RISK_RELOADS: Final = _counter(
    "engine_risk_reloads_total", "Times the risk file was read after a change.", "result"
)

# Reconciliation
RECONCILED_TIMESTAMP: Final = _gauge(
    "engine_reconcile_last_success_timestamp_seconds",
    "When the account was last compared with the broker and agreed.", "account",
)  # fmt: skip
RECONCILE_BREAKS: Final = _gauge(
    "engine_reconcile_breaks", "Holdings of the account that nothing explains.", "account"
)
ACCOUNT_RECONCILED: Final = _gauge(
    "engine_account_reconciled", "1 once the account was compared in this login.", "account"
)

# Accounts
NET_LIQUIDATION: Final = _gauge(
    "engine_account_net_liquidation", "Net liquidation in the account's currency.", "account"
)
DAILY_PNL: Final = _gauge(
    "engine_account_daily_pnl", "Profit and loss of the day in the account's currency.", "account"
)

# The journal
JOURNAL_COMMIT_SECONDS: Final = _histogram(
    "engine_journal_commit_seconds", "Time of one group commit, fsync included.", _FAST
)
JOURNAL_RECORDS: Final = _counter("engine_journal_records_total", "Records made durable.")
JOURNAL_BYTES: Final = _counter("engine_journal_bytes_total", "Bytes of durable records.")
JOURNAL_QUEUE: Final = _gauge(
    "engine_journal_queue_records", "Records that wait for the next commit."
)
JOURNAL_FULL: Final = _gauge(
    "engine_journal_full", "1 while the disk is full and only orders that exist are written."
)
JOURNAL_SNAPSHOT_TIMESTAMP: Final = _gauge(
    "engine_journal_snapshot_timestamp_seconds", "When the newest snapshot was taken."
)
JOURNAL_FREE_BYTES: Final = _gauge(
    "engine_journal_free_bytes", "What is left of the disk that the journal is on."
)
JOURNAL_FAILED: Final = _gauge(
    "engine_journal_failed", "1 once the journal cannot write; new orders are refused."
)

# Actors
ACTOR_MAILBOX_DEPTH: Final = _gauge(
    "engine_actor_mailbox_depth", "Messages that wait, by class of actor.", "actor_class"
)
ACTOR_HANDLED: Final = _counter("engine_actor_handled_total", "Messages handled.", "actor_class")
ACTOR_HANDLING_SECONDS: Final = _counter(
    "engine_actor_handling_seconds_total", "Time spent handling messages.", "actor_class"
)
ACTOR_SLOWEST_SECONDS: Final = _gauge(
    "engine_actor_slowest_seconds", "The slowest message of the last second.", "actor_class"
)
ACTOR_FAILURES: Final = _counter(
    "engine_actor_failures_total", "Actors that died of an exception.", "actor_class"
)
ACTOR_RESTARTS: Final = _counter(
    "engine_actor_restarts_total", "Actors rebuilt after they had failed.", "actor_class"
)
ACTOR_ESCALATIONS: Final = _counter(
    "engine_actor_escalations_total",
    "Actors that failed too often to be restarted; their accounts are halted.", "actor_class",
)  # fmt: skip
DEAD_LETTERS: Final = _counter(
    "engine_dead_letters_total", "Messages that no actor could take, and why.",
    "actor_class", "reason",
)  # fmt: skip

# The API
API_REQUESTS: Final = _counter(
    "engine_api_requests_total", "Requests to the HTTP API.", "route", "method", "status"
)
API_SECONDS: Final = _histogram(
    "engine_api_request_seconds", "Time to answer a request to the HTTP API.", _FAST, "route"
)

_aliases: dict[AccountId, str] = {}
_labels: dict[AccountId, str] = {}
_raw_labels = False


def configure_account_labels(aliases: Mapping[AccountId, str], *, raw: bool) -> None:
    """Choose how accounts appear: raw numbers only when asked for, else alias or hash."""
    global _raw_labels  # noqa: PLW0603 - set once at start, like the registry itself
    _aliases.clear()
    _labels.clear()
    _aliases.update(aliases)
    _raw_labels = raw


def account_label(account: AccountId) -> str:
    """Return the label of an account: its alias, or `acct-` and a short digest."""
    if _raw_labels:
        return account
    label = _labels.get(account)
    if label is None:
        alias = _aliases.get(account)
        label = alias or "acct-" + hashlib.sha256(account.encode()).hexdigest()[:8]
        _labels[account] = label
    return label
