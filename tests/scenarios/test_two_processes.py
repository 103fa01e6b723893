"""`engine sim` and `engine run` as a stranger runs them: two processes, curl, the command line."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.sim import SimConfig
from tests.scenarios.processes import (
    ACCOUNTS,
    WAIT_S,
    EngineProcess,
    SimThread,
    command,
    config_file,
    risk_file,
    until,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two-processes")


@pytest.fixture(scope="module")
def sim_log(folder: Path) -> Iterator[Path]:
    log = folder / "sim.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "sim", "--port", "0", "--cert-dir", str(folder)],
            stdout=output,
            stderr=output,
        )
    until(lambda: "https://" in log.read_text())
    yield log
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 0


@pytest.fixture(scope="module")
def engine(folder: Path, sim_log: Path) -> Iterator[EngineProcess]:
    text = sim_log.read_text()
    url = "https://" + text.split("https://")[1].split()[0].strip('",')
    risk_file(folder)
    tls = {"verify": "ca", "ca_file": str(next(folder.glob("*cert*.pem")))}
    # The broker's own pace: the simulator enforces it.
    config = config_file(folder, gateway=url, tls=tls, pace_ms=5_000)
    with EngineProcess(config) as running:
        yield running.ready()
        assert running.stop() == 0


def test_an_order_by_http_fills_after_the_policy_answered_the_question(
    engine: EngineProcess,
) -> None:
    answer = engine.submit("http-1", quantity="10", query="?wait=terminal&timeout=20")

    assert answer.status == 202
    order = answer.body
    assert (order["state"], order["filled_quantity"], order["remaining_quantity"]) == (
        "FILLED",
        "10",
        "0",
    )
    assert 'engine_questions_total{answer="accept",message_id="o10151"} 1.0' in engine.metrics()


def test_an_order_by_the_command_line_fills(engine: EngineProcess) -> None:
    done = command(
        engine, "orders", "submit", "DU1111111", "SELL", "4", "AAPL", "--wait", "terminal",
        "--timeout", "20",
    )  # fmt: skip
    listed = command(engine, "orders", "list")

    assert (done.returncode, "FILLED" in done.stdout) == (0, True), done.stderr
    assert listed.stdout.count("FILLED") >= 1


def test_an_order_over_its_limit_is_refused_until_the_limit_is_loosened(
    engine: EngineProcess, folder: Path
) -> None:
    refused = engine.submit("over", type="LMT", limit_price="100", quantity="101")
    risk_file(folder, version=2, max_qty=200, approved_by="risk-officer")
    until(lambda: "engine_risk_policy_version 2.0" in engine.metrics())
    passed = engine.submit("over-again", type="LMT", limit_price="100", quantity="101")

    assert refused.status == 422
    assert refused.body["order"]["state"] == "DENIED"
    assert refused.body["error"]["code"] == "QTY_EXCEEDS_MAX"
    assert "limit=100" in refused.body["error"]["message"]
    assert "order.max_qty.STK, risk.yaml:7" in refused.body["error"]["message"]
    assert passed.status == 202
    cancelled = engine.call("DELETE", f"/v1/orders/{passed.body['order_id']}")
    assert cancelled.status == 202
    until(lambda: engine.order(passed.body["order_id"])["state"] == "CANCELLED")


def test_a_bad_risk_file_keeps_the_last_good_one_and_says_so(
    engine: EngineProcess, folder: Path
) -> None:
    good = (folder / "risk.yaml").read_text()
    (folder / "risk.yaml").write_text(good.replace("max_notional", "max_notoinal", 1))
    until(lambda: "engine_risk_last_reload_successful 0.0" in engine.metrics())

    limits = engine.call("GET", "/v1/accounts/DU1111111/limits").body
    still = engine.submit("still", type="LMT", limit_price="1000", quantity="1")

    (folder / "risk.yaml").write_text(good)
    until(lambda: "engine_risk_last_reload_successful 1.0" in engine.metrics())
    assert "max_notoinal" in limits["file_error"]
    assert still.status == 202


def test_a_restart_at_once_keeps_the_brokers_pace_and_finds_the_doubtful_order(
    tmp_path: Path,
) -> None:
    config = SimConfig(accounts=ACCOUNTS, established_delay_ms=20)  # paces as the broker does
    with SimThread(config) as sim:
        risk_file(tmp_path)
        tls = {"verify": "pin", "pin_sha256": sim.pin_sha256}
        file = config_file(tmp_path, gateway=sim.url, tls=tls, pace_ms=5_000)
        with EngineProcess(file) as first:
            first.ready()
            sim.faults.hang_next_order = 1
            order = first.submit("doubtful", type="LMT", limit_price="100", quantity="7").body
            until(lambda: sim.faults.struck["hang_next_order"])
            first.kill()

        with EngineProcess(file) as again:
            again.ready()
            until(lambda: again.order(order["order_id"])["state"] in {"WORKING", "ACCEPTED"})
            metrics = again.metrics()

        assert "engine_http_429_total{" not in metrics
        assert len(sim.venue.submissions) == 1
