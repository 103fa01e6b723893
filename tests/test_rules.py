"""The alert rules, checked against the metrics that the engine declares and the runbook."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.test_grafana import SCRAPED, SERIES

ROOT: Final = Path(__file__).parents[1]
RULES: Final = ROOT / "grafana" / "rules" / "engine.yml"
ALERTS: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]

_SERIES: Final = re.compile(r"\b(engine_[a-z0-9_]+)(?:\{([^}]*)\})?")
_SHOWN: Final = re.compile(r"\$labels\.(\w+)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_metrics_that_there_are(alert: dict[str, Any]) -> None:
    asked = [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers or "")))
        for name, matchers in _SERIES.findall(alert["expr"])
    ]

    assert asked
    assert [name for name, _ in asked if name not in SERIES] == []
    assert [name for name, used in asked if not used <= SERIES[name] | SCRAPED] == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_shows_labels_that_its_metrics_have(alert: dict[str, Any]) -> None:
    known = set().union(*(SERIES[name] for name, _ in _SERIES.findall(alert["expr"])))
    shown = set(_SHOWN.findall(" ".join(alert["annotations"].values())))

    assert shown <= known | SCRAPED


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_has_its_page_of_the_runbook(alert: dict[str, Any]) -> None:
    page, _, anchor = alert["annotations"]["runbook"].partition("#")

    assert alert["labels"]["severity"] in {"page", "warn"}
    assert anchor in anchors(ROOT / page)
