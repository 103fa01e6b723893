"""Orders as a person reads them: a line each in a listing, or a sentence."""

from datetime import UTC, datetime

from engine.cli.api import JsonObject
from engine.cli.output import Column, age, column, duration, shown
from engine.domain.values import TrailingType


def quantity_text(row: JsonObject) -> str:
    """Write how much was asked for: units, or an amount of money."""
    if row.get("cash_quantity") is not None:
        return f"{row['cash_quantity']} (cash)"
    return shown(row.get("quantity"))


def filled_text(row: JsonObject) -> str:
    """Write how much has filled of what was asked for."""
    return f"{shown(row.get('filled_quantity'))}/{quantity_text(row)}"


def prices_text(row: JsonObject) -> str:
    """Write every price of an order; `-` stands for none."""
    percent = "%" if row.get("trailing_type") == TrailingType.PERCENT else ""
    found = [
        f"{word}{row[name]}{unit}"
        for word, name, unit in (
            ("", "limit_price", ""),
            ("stop ", "stop_price", ""),
            ("trail ", "trailing_amount", percent),
            ("cap ", "cap_price", ""),
        )
        if row.get(name) is not None
    ]
    return ", ".join(found) or "-"


def state_text(row: JsonObject) -> str:
    """Write the state, with what is not as it usually is behind it."""
    state, pending = shown(row.get("state")), row.get("pending", "none")
    confidence = row.get("confidence", "confirmed")
    extras = [
        text
        for text in (
            "" if pending == "none" else f"{pending} pending",
            "" if confidence == "confirmed" else str(confidence),
            "adopted" if row.get("adopted") else "",
            f"exits {', '.join(row['unprotected'])} missing" if row.get("unprotected") else "",
        )
        if text
    ]
    return f"{state} ({', '.join(extras)})" if extras else state


def group_text(row: JsonObject) -> str:
    """Write which group an order is of, and whose; `-` stands for none."""
    group, leader = row.get("group"), row.get("leader_order_id")
    if group is None:
        return "-"
    return f"{group}" if leader == row.get("order_id") else f"{group} of {leader}"


def tif_text(row: JsonObject) -> str:
    """Write how long an order stays."""
    until = row.get("good_till")
    return shown(row.get("tif")) if until is None else f"{row['tif']} {time_text(until)}"


COLUMNS = (
    column("order id"),
    column("account"),
    column("side"),
    Column(title="filled/quantity", cell=filled_text, right=True),
    column("symbol"),
    column("sec type"),
    column("conid", right=True),
    column("type"),
    Column(title="price", cell=prices_text, right=True),
    Column(title="tif", cell=tif_text),
    Column(title="group", cell=group_text),
    Column(title="state", cell=state_text),
    column("avg price", "average_price", right=True),
    column("reason", wraps=True),
    Column(title="age", cell=age, right=True),
)
EXTERNAL_COLUMNS = (
    column("broker order id"),
    column("session"),
    column("side"),
    Column(title="filled/quantity", cell=filled_text, right=True),
    column("symbol"),
    column("conid", right=True),
    column("type"),
    Column(title="price", cell=prices_text, right=True),
    column("tif"),
    column("status"),
    column("reference", "order_ref"),
    Column(title="seen", cell=lambda row: age(row, "seen_at"), right=True),
)


STORY_COLUMNS = (
    column("seq", right=True),
    Column(title="time", cell=lambda row: time_text(row.get("at"))),
    Column(title="age", cell=lambda row: age(row, "at"), right=True),
    column("record", "text", wraps=True),
)


def time_text(value: object) -> str:
    """Write a time of the API for people: `2026-01-05 15:00:00.123 UTC`."""
    if not isinstance(value, str):
        return "-"
    at = datetime.fromisoformat(value).astimezone(UTC)
    written = at.isoformat(" ", "milliseconds").removesuffix("+00:00").removesuffix(".000")
    return f"{written} UTC"


def algo_text(algo: JsonObject | None) -> str:
    """Write an algorithm with its parameters; `-` stands for none."""
    if algo is None:
        return "-"
    parameters = ", ".join(f"{each['name']}={each['value']}" for each in algo["parameters"])
    return f"{algo['name']} ({parameters})" if parameters else str(algo["name"])


def evidence_text(evidence: JsonObject | None) -> str:
    """Write what was looked at for an order that nobody could find; `-` stands for nothing."""
    if evidence is None:
        return "-"
    horizon, elapsed = (duration(evidence[name] / 1000) for name in ("horizon_ms", "elapsed_ms"))
    agree = evidence["positions_agree"]
    parts = [
        f"{elapsed} after it was sent (a proof needs {horizon})",
        f"{duration(evidence['healthy_ms'] / 1000)} of a healthy session",
        f"{evidence['list_reads']} lists and {evidence['trade_reads']} trade reads that count",
        "in the same login" if evidence["same_login"] else "in another login",
        "" if agree is None else f"positions {'agree' if agree else 'do not agree'}",
        f"seen meanwhile: {', '.join(evidence['canaries'])}" if evidence["canaries"] else "",
        f"missing: {'; '.join(evidence['missing'])}" if evidence["missing"] else "",
    ]
    return ", ".join(part for part in parts if part)


def terms_text(terms: JsonObject | None) -> str:
    """Write the terms that a modify can change; empty for none."""
    given = (terms or {}).items()
    return ", ".join(f"{name} {value}" for name, value in given if value is not None)


def contract_text(order: JsonObject) -> str:
    """Name the contract; two options on a share have the same symbol, but no two a conid."""
    contract = f"{order['symbol']} {order['sec_type']}"
    return contract if order["sec_type"] == "STK" else f"{contract} (conid {order['conid']})"


def sentence(order: JsonObject) -> str:
    """Write all that matters of an order as one sentence."""
    at = "" if order.get("limit_price") is None else "at "
    prices = "" if prices_text(order) == "-" else f" {at}{prices_text(order)}"
    text = (
        f"order {order['order_id']}: {order['side']} {quantity_text(order)} {contract_text(order)} "
        f"{order['type']}{prices} {tif_text(order)} for {order['account']} is {state_text(order)}"
    )
    if order.get("group") is not None:
        text += f", {group_text(order)}"
    if order.get("wanted") is not None:
        text += f", wanted: {terms_text(order['wanted'])}"
    if order.get("average_price") is not None:
        text += f", {order['filled_quantity']} filled at {order['average_price']}"
    if order.get("reason") is not None:
        text += f", {shown(order['reason'])}"
    return text
