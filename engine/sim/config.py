"""How one simulated gateway is set up.

Rule: a config is checked when it is made, so everything behind it may trust it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

PORT_MAX: Final = 65_535
_DAY_S: Final = 24 * 3600
DEFAULT_ACCOUNTS: Final = ("DU1111111", "DU2222222")

DEFAULT_QUESTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "MKT": ("o10151",),
        "LMT": ("o163",),
        "STOP_LIMIT": ("o163",),
        "STP": ("o10331",),
        "TRAIL": ("o10331",),
        "TRAILLMT": ("o10331",),
        "CASH_QUANTITY": ("o10164", "o10223"),
        "*": ("o354",),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimConfig:
    """A simulated gateway that is yet to be started.

    `questions` maps an order type (or `*` for all types, `MODIFY` for modifies,
    `CASH_QUANTITY` for orders by an amount of money) to the message ids asked
    for it, in order. Two ids carry a condition of their own: `o163` is asked
    only when the limit is more than 3 % away from the touch, `o354` only
    without a market data line for the conid. The world moves every `tick_ms`;
    auctions are held every `auction_interval_ms`; a snapshot that nobody
    repeats for `snapshot_refresh_ms` ends its market data line; a prompt that
    nobody answers for `prompt_wait_ms` cancels its order. Orders for the day
    end at `day_ends_at_s`, the second of the day in UTC; None is never.
    """

    host: str = "127.0.0.1"
    port: int = 0
    username: str = "simuser"
    accounts: tuple[str, ...] = DEFAULT_ACCOUNTS
    seed: int = 1
    logged_in: bool = True
    established_delay_ms: int = 1000
    quote_interval_ms: tuple[int, int] = (100, 500)
    smd_conflation_ms: int = 500
    fill_delay_ms: tuple[int, int] = (50, 400)
    cancel_delay_ms: int = 200
    commission_delay_ms: int = 100
    heartbeat_ms: int = 10_000
    tick_ms: int = 10
    auction_interval_ms: int = 60_000
    prompt_wait_ms: int = 60_000
    day_ends_at_s: int | None = None
    snapshot_refresh_ms: int = 30_000
    smd_expiry_s: float = 900
    idle_timeout_s: float = 360
    enforce_pacing: bool = True
    upstream_slots: int = 5
    questions: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: dict(DEFAULT_QUESTIONS)
    )
    cert_dir: Path | None = None

    def __post_init__(self) -> None:
        """Refuse values nobody could serve.

        Raises:
            ValueError: A value is out of range; the text names it and the range.
        """
        if not 0 <= self.port <= PORT_MAX:
            message = f"port is {self.port}, allowed are 0 to {PORT_MAX}"
            raise ValueError(message)
        if not self.accounts or len(set(self.accounts)) != len(self.accounts):
            message = f"accounts is {self.accounts}, one or more different ids are needed"
            raise ValueError(message)
        for name in ("quote_interval_ms", "fill_delay_ms"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                message = f"{name} is ({low}, {high}) ms, needed is 0 <= low <= high"
                raise ValueError(message)
        if self.day_ends_at_s is not None and not 0 <= self.day_ends_at_s < _DAY_S:
            message = f"day_ends_at_s is {self.day_ends_at_s} s, allowed are 0 to {_DAY_S - 1} s"
            raise ValueError(message)
        if self.quote_interval_ms[0] < 1:
            message = f"quote_interval_ms starts at {self.quote_interval_ms[0]} ms, at least 1 ms"
            raise ValueError(message)
        for name in (
            "heartbeat_ms",
            "tick_ms",
            "smd_expiry_s",
            "idle_timeout_s",
            "upstream_slots",
            "auction_interval_ms",
            "prompt_wait_ms",
            "snapshot_refresh_ms",
        ):
            if getattr(self, name) <= 0:
                message = f"{name} is {getattr(self, name)}, it must be above 0"
                raise ValueError(message)
        for name in (
            "established_delay_ms",
            "smd_conflation_ms",
            "cancel_delay_ms",
            "commission_delay_ms",
        ):
            if getattr(self, name) < 0:
                message = f"{name} is {getattr(self, name)} ms, at least 0 ms"
                raise ValueError(message)
