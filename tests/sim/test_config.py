import re
from typing import Any

import pytest

from engine.sim import SimConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"port": 70_000}, "port is 70000, allowed are 0 to 65535"),
        ({"accounts": ()}, "accounts is (), one or more different ids are needed"),
        ({"fill_delay_ms": (9, 3)}, "fill_delay_ms is (9, 3) ms, needed is 0 <= low <= high"),
        ({"quote_interval_ms": (0, 5)}, "quote_interval_ms starts at 0 ms, at least 1 ms"),
        ({"heartbeat_ms": 0}, "heartbeat_ms is 0, it must be above 0"),
        ({"cancel_delay_ms": -1}, "cancel_delay_ms is -1 ms, at least 0 ms"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SimConfig(**change)


def test_without_arguments_market_orders_are_asked_about() -> None:
    config = SimConfig()

    assert config.questions["MKT"] == ("o10151",)
    assert config.accounts == ("DU1111111", "DU2222222")
