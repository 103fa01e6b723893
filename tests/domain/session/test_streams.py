"""Orders and trades are two topics: one may be mute while the other is not."""

from dataclasses import replace

from engine.domain.messages import ReportAnomaly, RowsStreamed
from engine.domain.session.streams import Streams
from engine.domain.values import BrokerStatus, ExecutionId
from tests.domain.session.test_polls import execution, row

S = 1_000_000_000
HALF = row(BrokerStatus.SUBMITTED, 5)


def test_each_topic_is_reported_for_itself() -> None:
    streams = Streams()
    streams.poll_orders((), 0)
    streams.poll_trades((), 0)

    reports = []
    for at_s in (10, 25, 30):
        streams.tell(RowsStreamed(rows=(), executions=(ExecutionId("1"),)), at_s * S)
        reports.append(streams.poll_orders((row(BrokerStatus.FILLED),), at_s * S))
        reports.append(streams.poll_trades((execution("1"),), at_s * S))

    detail = "polls showed 1 changes that the topic sor did not tell"
    assert [report for report in reports if report is not None] == [
        ReportAnomaly(machine="session", kind="sor_silent", detail=detail)
    ]


def test_a_refresh_is_over_once_nothing_is_in_doubt() -> None:
    streams = Streams()
    streams.poll_orders((), 0)
    streams.poll_orders((row(BrokerStatus.FILLED),), 10 * S)
    streams.was_refreshed = True

    streams.tell(RowsStreamed(rows=(), executions=(ExecutionId("1"),)), 11 * S)
    still = streams.was_refreshed
    streams.tell(RowsStreamed(rows=(row(BrokerStatus.FILLED),)), 12 * S)

    assert (still, streams.was_refreshed, streams.doubtful) == (True, False, False)


def test_a_part_of_a_row_tells_the_rest_as_it_was_known() -> None:
    streams = Streams()
    streams.poll_orders((row(BrokerStatus.SUBMITTED),), 0)
    streams.tell(RowsStreamed(rows=(replace(HALF, status=None),)), 1 * S)

    for at_s in range(10, 100, 10):
        streams.poll_orders((row(BrokerStatus.SUBMITTED),), at_s * S)
    streams.poll_orders((HALF,), 100 * S)

    assert not streams.doubtful


def test_a_list_of_trades_that_lags_is_no_fault_of_the_stream() -> None:
    streams = Streams()
    streams.poll_trades((), 0)
    streams.tell(RowsStreamed(rows=(), executions=(ExecutionId("1"),)), 1 * S)

    for at_s in range(10, 100, 10):
        streams.poll_trades((), at_s * S)
    streams.poll_trades((execution("1"),), 100 * S)

    assert not streams.doubtful
