import hashlib
import re
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from engine import metrics
from engine.domain.values import AccountId

ACCOUNT = AccountId("DU1234567")
LABELS = {
    "account", "actor_class", "answer", "bucket", "check", "code", "endpoint", "how", "kind",
    "lane", "machine", "message_id", "method", "mode", "outcome", "phase", "reason", "result",
    "route", "session", "source", "state", "status", "topic", "version", "view",
}  # fmt: skip

DECLARED = {
    name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)
}


@pytest.fixture(autouse=True)
def _labels_as_they_are_by_default() -> Iterator[None]:
    yield
    metrics.configure_account_labels({}, raw=False)


@pytest.mark.parametrize("name", DECLARED)
def test_a_metric_is_named_explained_and_labelled_as_all_are(name: str) -> None:
    metric = DECLARED[name]

    (described,) = metric.describe()

    assert re.fullmatch(r"engine_[a-z0-9_]+", described.name)
    assert described.documentation.endswith(".")
    assert set(metric._labelnames) <= LABELS


def test_every_metric_is_on_the_one_page() -> None:
    page = generate_latest(metrics.REGISTRY).decode()

    missing = [
        described.name
        for metric in DECLARED.values()
        for described in metric.describe()
        if f"# HELP {described.name}" not in page
    ]

    assert missing == []


def test_no_series_says_when_it_was_made() -> None:
    metrics.HTTP_429.labels("somewhere").inc()

    assert "_created" not in generate_latest(metrics.REGISTRY).decode()


def test_an_account_is_shown_as_a_short_digest() -> None:
    digest = hashlib.sha256(b"DU1234567").hexdigest()

    assert metrics.account_label(ACCOUNT) == f"acct-{digest[:8]}"


def test_an_account_with_an_alias_is_shown_by_it() -> None:
    metrics.configure_account_labels({ACCOUNT: "growth"}, raw=False)

    assert metrics.account_label(ACCOUNT) == "growth"
    assert metrics.account_label(AccountId("DU7654321")).startswith("acct-")


def test_an_account_is_shown_by_its_number_only_when_asked_for() -> None:
    metrics.configure_account_labels({ACCOUNT: "growth"}, raw=True)

    assert metrics.account_label(ACCOUNT) == ACCOUNT


def test_labels_of_before_are_forgotten() -> None:
    metrics.configure_account_labels({ACCOUNT: "growth"}, raw=True)

    metrics.configure_account_labels({}, raw=False)

    assert metrics.account_label(ACCOUNT).startswith("acct-")
