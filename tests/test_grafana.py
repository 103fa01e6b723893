"""The Grafana dashboard, checked against the metrics that the engine declares."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from engine import metrics
from engine.domain.values import SessionState

ROOT: Final = Path(__file__).parents[1]
DASHBOARD: Final = ROOT / "grafana" / "dashboards" / "engine.json"
PROVISIONING: Final = ROOT / "grafana" / "provisioning"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric as `engine/metrics.py` declares it."""

    type: str
    labels: frozenset[str]

    def series(self, name: str) -> Iterator[tuple[str, frozenset[str]]]:
        """The names under which Prometheus has it, each with its labels."""
        match self.type:
            case "counter":
                yield f"{name}_total", self.labels
            case "histogram":
                yield f"{name}_bucket", self.labels | {"le"}
                yield f"{name}_sum", self.labels
                yield f"{name}_count", self.labels
            case _:
                yield name, self.labels


def declared() -> dict[str, frozenset[str]]:
    families = {
        metric._name: Family(type=str(metric._type), labels=frozenset(metric._labelnames))
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    }
    return dict(series for name, family in families.items() for series in family.series(name))


SERIES: Final = declared()
# Labels that Prometheus itself adds when it scrapes.
SCRAPED: Final = frozenset({"job", "instance"})

_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTED: Final = re.compile(r"\b(engine_[a-z0-9_]+)\s*(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")
_GROUPED: Final = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_LEGEND: Final = re.compile(r"\{\{\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\}\}")


def unknown_in(expression: str, series: Mapping[str, frozenset[str]] = SERIES) -> list[str]:
    """The metrics, and the labels of metrics, that a query uses and nobody declares."""
    bare = _STRINGS.sub('""', expression)
    unknown: list[str] = []
    labels: set[str] = set(SCRAPED)
    for name, matchers in _SELECTED.findall(bare):
        if name not in series:
            unknown.append(name)
            continue
        labels |= series[name]
        unknown += [
            f"{name}{{{label}}}"
            for label in _MATCHER.findall(matchers)
            if label not in series[name] | SCRAPED
        ]
    grouped = {label.strip() for group in _GROUPED.findall(bare) for label in group.split(",")}
    return unknown + sorted(grouped - labels - {""})


def dashboard() -> Json:
    loaded: Json = json.loads(DASHBOARD.read_text("utf-8"))
    return loaded


def panels() -> list[Json]:
    found: list[Json] = dashboard()["panels"]
    return found


def queries() -> list[tuple[str, str]]:
    """Every query of the dashboard, with the place that it is in."""
    found = [
        (f"{panel['title']} {target['refId']}", target["expr"])
        for panel in panels()
        for target in panel["targets"]
    ]
    found += [
        (f"variable {variable['name']}", variable["query"]["query"])
        for variable in dashboard()["templating"]["list"]
        if variable["type"] == "query"
    ]
    found += [
        (f"annotation {annotation['name']}", annotation["expr"])
        for annotation in dashboard()["annotations"]["list"]
    ]
    return found


@pytest.mark.parametrize(("place", "expression"), queries(), ids=lambda value: value[:40])
def test_every_query_uses_metrics_and_labels_that_the_engine_has(
    place: str, expression: str
) -> None:
    assert unknown_in(expression) == [], place


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("engine_orders_total", ["engine_orders_total"]),
        ("rate(engine_fills[1m])", ["engine_fills"]),
        ("engine_order_submit_seconds", ["engine_order_submit_seconds"]),
        ('engine_orders{account="a"}', ["engine_orders{account}"]),
        ("sum by (le, account) (engine_order_submit_seconds_bucket)", ["account"]),
        ('engine_ticks_total{session=~"engine_nonsense"}', []),
        ("sum by (le, phase) (rate(engine_order_submit_seconds_bucket[5m]))", []),
    ],
)
def test_the_query_check_notices_what_nobody_declares(expression: str, unknown: list[str]) -> None:
    found = unknown_in(expression)

    assert found == unknown


def test_a_legend_names_only_labels_that_its_query_keeps() -> None:
    lost = [
        (panel["title"], label)
        for panel in panels()
        for target in panel["targets"]
        for label in _LEGEND.findall(target["legendFormat"])
        if label
        not in {
            name.strip() for group in _GROUPED.findall(target["expr"]) for name in group.split(",")
        }
    ]

    assert lost == []


def test_the_dashboard_has_ten_panels_that_explain_themselves() -> None:
    found = panels()

    assert len(found) == 10
    assert len({panel["id"] for panel in found}) == 10
    assert len({panel["title"] for panel in found}) == 10
    for panel in found:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(panel["description"]) > 40, panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_no_panel_covers_another() -> None:
    taken: dict[tuple[int, int], str] = {}

    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_the_timeline_knows_every_state_of_a_session() -> None:
    [timeline] = [panel for panel in panels() if panel["type"] == "state-timeline"]
    [mapping] = timeline["fieldConfig"]["defaults"]["mappings"]
    numbered = re.findall(
        r'(\d+) \* engine_session_state\{[^}]*state="([A-Z_]+)"\}', (timeline["targets"][0]["expr"])
    )

    assert {state for _, state in numbered} == set(SessionState)
    assert {number: text["text"] for number, text in mapping["options"].items()} == dict(numbered)


def test_everything_asks_the_chosen_data_source_about_the_chosen_sessions() -> None:
    variables = {item["name"]: item for item in dashboard()["templating"]["list"]}

    assert variables["datasource"]["type"] == "datasource"
    assert variables["session"]["datasource"]["uid"] == "${datasource}"
    assert variables["session"]["query"]["query"] == "label_values(engine_session_state, session)"
    for place, expression in queries():
        for name, matchers in _SELECTED.findall(expression):
            if place.startswith(("variable", "annotation")) or "session" not in SERIES[name]:
                continue
            assert 'session=~"$session"' in matchers, place


def test_grafana_finds_the_dashboard_and_a_data_source() -> None:
    [provider] = yaml.safe_load((PROVISIONING / "dashboards" / "engine.yaml").read_text())[
        "providers"
    ]
    [source] = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]

    assert provider["type"] == "file"
    assert provider["options"]["path"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
