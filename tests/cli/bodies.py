"""Bodies as the API sends them; `test_contract.py` holds them against its models."""

from typing import Any

ORDER: dict[str, Any] = {
    "order_id": "1-7",
    "client_order_id": "mine",
    "account": "DU1111111",
    "conid": 265598,
    "symbol": "AAPL",
    "side": "BUY",
    "type": "LMT",
    "quantity": "100",
    "filled_quantity": "40",
    "remaining_quantity": "60",
    "average_price": "189.2500",
    "limit_price": "189.30",
    "stop_price": None,
    "tif": "DAY",
    "strategy": None,
    "state": "PARTIALLY_FILLED",
    "pending": "none",
    "confidence": "confirmed",
    "reason": None,
    "broker_order_id": "1234567890",
    "created_at": "2026-01-05T15:00:00.000000Z",
    "updated_at": "2026-01-05T15:00:01.000000Z",
    "seq": 12,
    "sec_type": "STK",
    "cash_quantity": None,
    "trailing_type": None,
    "trailing_amount": None,
    "cap_price": None,
    "outside_rth": False,
    "wanted": None,
    "group": None,
    "leader_order_id": None,
    "legs": [],
    "algo": None,
    "good_till": None,
    "adopted": False,
    "evidence": None,
    "other_broker_order_ids": [],
    "quantity_extra": "0",
    "unprotected": [],
}

CANCELLING: dict[str, Any] = ORDER | {"pending": "cancel", "warning": None}

EVIDENCE: dict[str, Any] = {
    "elapsed_ms": 200_000,
    "healthy_ms": 180_000,
    "horizon_ms": 60_000,
    "list_reads": 0,
    "trade_reads": 12,
    "canaries": ["77", "78"],
    "same_login": True,
    "positions_agree": None,
    "missing": ["3 fresh lists"],
}

PARKED: dict[str, Any] = ORDER | {
    "state": "PARKED",
    "filled_quantity": "0",
    "remaining_quantity": "100",
    "average_price": None,
    "broker_order_id": None,
    "evidence": EVIDENCE,
}

LEG: dict[str, Any] = ORDER | {
    "order_id": "1-8",
    "client_order_id": "mine:1",
    "side": "SELL",
    "limit_price": "200",
    "tif": "GTD",
    "good_till": "2026-12-18T21:00:00.000000Z",
    "state": "ACCEPTED",
    "filled_quantity": "0",
    "remaining_quantity": "100",
    "average_price": None,
    "group": "bracket",
    "leader_order_id": "1-7",
}

BRACKET: dict[str, Any] = ORDER | {
    "group": "bracket",
    "leader_order_id": "1-7",
    "legs": [LEG],
    "algo": {
        "name": "Adaptive",
        "parameters": [{"name": "adaptivePriority", "value": "Urgent", "kind": "text"}],
    },
}

ORDER_EVENTS: dict[str, Any] = {
    "order_id": "1-7",
    "events": [
        {
            "seq": 12,
            "at": "2020-01-06T15:00:00.123000Z",
            "type": "ATTEMPT",
            "account": "DU1111111",
            "order_id": "1-7",
            "body": {"number": 1},
        }
    ],
    "story": [
        {"seq": 12, "at": "2020-01-06T15:00:00.123000Z", "text": "ATTEMPT: attempt 1 to send it"}
    ],
}

DENIED: dict[str, Any] = ORDER | {
    "state": "DENIED",
    "filled_quantity": "0",
    "remaining_quantity": "100",
    "average_price": None,
    "broker_order_id": None,
    "reason": {"code": "MAX_QTY", "message": "quantity is 100, limit order.max_qty.STK is 10"},
}

ORDERS: dict[str, Any] = {"orders": [ORDER, DENIED], "truncated": False}

REFUSED: dict[str, Any] = {"order": DENIED, "error": DENIED["reason"] | {"details": {}}}

EXTERNAL_ORDERS: dict[str, Any] = {
    "account": "DU1111111",
    "orders": [
        {
            "session": "main",
            "broker_order_id": "987",
            "order_ref": None,
            "conid": 265598,
            "symbol": "AAPL",
            "side": "SELL",
            "type": "Limit",
            "quantity": "5",
            "filled_quantity": None,
            "average_price": None,
            "limit_price": "200",
            "stop_price": None,
            "tif": "GTC",
            "status": "Submitted",
            "seen_at": "2026-01-05T15:00:00.000000Z",
        }
    ],
}

INSTRUMENTS: dict[str, Any] = {
    "instruments": [
        {
            "conid": 265598,
            "symbol": "AAPL",
            "sec_type": "STK",
            "currency": "USD",
            "exchange": "NASDAQ",
            "name": "APPLE INC",
            "multiplier": "1",
            "increments": [
                {"lower_edge": "0", "increment": "0.0001"},
                {"lower_edge": "1", "increment": "0.01"},
            ],
            "size_increment": "1",
            "order_types": ["MKT", "LMT"],
            "tradable": True,
            "tifs": [
                {"tif": "DAY", "order_types": None, "outside_rth": True},
                {"tif": "IOC", "order_types": ["MKT", "LMT"], "outside_rth": False},
                {"tif": "GTC", "order_types": None, "outside_rth": False},
            ],
            "outside_rth_types": ["LMT"],
            "fraction_types": [],
            "cash_types": [],
            "cash_increment": None,
            "cash_currency": None,
            "underlying_conid": None,
            "expiry": None,
            "strike": None,
            "right": None,
            "trading_class": "NMS",
            "valid_exchanges": ["SMART", "NASDAQ"],
            "age_ms": 3000,
        }
    ],
    "count": 1,
}

SESSIONS: dict[str, Any] = {
    "sessions": [
        {
            "name": "main",
            "state": "LOGIN_REQUIRED",
            "reason": {"code": "LOGIN_REQUIRED", "message": "log in at https://127.0.0.1:5000"},
            "accounts": ["DU1111111", "DU2222222"],
            "gateway": "https://127.0.0.1:5000",
            "epoch": 3,
            "since": "2026-01-05T15:00:00.000000Z",
            "socket_connected": False,
            "last_heartbeat_age_ms": None,
            "login_by": "2026-01-05T15:10:00.000000Z",
            "login_failures": 2,
            "no_submit_until": None,
        }
    ]
}

ACCOUNTS: dict[str, Any] = {
    "accounts": [
        {
            "account": "DU1111111",
            "session": "main",
            "session_state": "READY",
            "trading_state": "reduce_only",
            "ready": True,
            "reason": None,
            "currency": "USD",
            "net_liquidation": {"value": "1000000.10", "age_ms": 1500},
            "available_funds": {"value": "900000", "age_ms": 1500},
            "daily_pnl": {"value": "-12.5", "age_ms": 300},
            "unrealized_pnl": {"value": None, "age_ms": None},
            "excess_liquidity": {"value": "890000", "age_ms": 1500},
            "buying_power": {"value": "3600000", "age_ms": 1500},
            "initial_margin": {"value": "0", "age_ms": 1500},
            "maintenance_margin": {"value": "0", "age_ms": 1500},
            "gross_position_value": {"value": None, "age_ms": None},
            "total_cash": {"value": "1000000.10", "age_ms": 1500},
            "cash": [
                {
                    "currency": "EUR",
                    "cash": "100.25",
                    "settled_cash": None,
                    "net_liquidation": "100.25",
                    "exchange_rate": "1.1",
                }
            ],
            "cash_age_ms": 4000,
            "reconciliation": "breaks",
            "reconcile_step": None,
            "reconciled_age_ms": 65000,
            "breaks": [{"conid": 265598, "symbol": "AAPL", "expected": "100", "found": "-40"}],
            "external_orders": 2,
        }
    ]
}

POSITIONS: dict[str, Any] = {
    "account": "DU1111111",
    "positions": [
        {
            "account": "DU1111111",
            "conid": 265598,
            "symbol": "AAPL",
            "quantity": "-40",
            "lowest": "-40",
            "highest": "-40",
            "working_buy": "60",
            "working_sell": "0",
            "average_price": "189.25",
            "market_price": None,
            "market_value": None,
            "unrealized_pnl": None,
            "currency": "USD",
            "age_ms": 2500,
        }
    ],
}

LIMITS: dict[str, Any] = {
    "account": "DU1111111",
    "groups": ["desk"],
    "version": 4,
    "policy_hash": "abc123",
    "file_error": None,
    "limits": [
        {"name": "order.max_qty.STK", "value": "100", "source": "risk.yaml:12"},
        {"name": "working.max_total", "value": "10", "source": "built-in"},
    ],
}

QUOTES: dict[str, Any] = {
    "quotes": [
        {
            "conid": 265598,
            "bid": "189.20",
            "ask": "189.25",
            "last": "189.2",
            "bid_size": "300",
            "ask_size": "100",
            "last_size": None,
            "volume": "5660000",
            "prior_close": "188",
            "halted": False,
            "availability": "RpB",
            "age_ms": 120,
            "source": "stream",
        }
    ],
    "missing": [8314],
    "reason": None,
}

BARS: dict[str, Any] = {
    "conid": 265598,
    "interval": "1s",
    "bars": [
        {
            "start": "2026-01-05T15:00:00.000000Z",
            "open": "189.20",
            "high": "189.30",
            "low": "189.10",
            "close": "189.25",
            "volume": "1200",
            "vwap": None,
            "trades": 7,
        }
    ],
    "period": None,
    "source": "stream",
}

HALTED: dict[str, Any] = {
    "scope": "account:DU1111111",
    "level": "cancel_only",
    "reason": "news",
    "cancels_requested": 3,
}

RESUMED: dict[str, Any] = {"scope": "firm", "resumed": True, "reason": "over"}

DRAINING: dict[str, Any] = {"draining": True}

EVENT: dict[str, Any] = {
    "seq": 12,
    "at": "2020-01-06T15:00:00.000000Z",
    "type": "SubmitOrder",
    "account": "DU1111111",
    "order_id": "1-7",
    "body": {"price": "189.30"},
}
