"""Logs that cost little and leak nothing; metrics under documented names."""

import errno
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapters import telemetry
from adapters.keys import Secret
from adapters.metrics import ALARMING, Metrics
from adapters.telemetry import (
    REDACTED,
    LineWriter,
    configure_console,
    configure_logging,
    get_logger,
    render,
)

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CANARY = "canary-51c0ffee"


@pytest.fixture
def pipe():
    """Both ends of a pipe: where lines are read, where they are written."""
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


@pytest.fixture
def logs(pipe):
    """Configured logging, and a function that returns the lines written so far."""
    reading, writing = pipe
    os.set_blocking(reading, False)
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    writer = configure_logging(writing)

    def lines() -> list[dict[str, Any]]:
        writer.flush()
        return [json.loads(line) for line in os.read(reading, 1 << 20).splitlines()]

    yield lines
    writer.close()
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_a_line_holds_time_level_event_and_fields(logs):
    """What reads the log relies on these names and on one JSON object a line."""
    get_logger(service="test").info("call", outcome="ok", duration_ms=1.5)
    (line,) = logs()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line.pop("time"))
    assert line == {
        "level": "info",
        "event": "call",
        "service": "test",
        "outcome": "ok",
        "duration_ms": 1.5,
    }


def test_debug_lines_are_left_out(logs):
    """They cost time on the hot path and hold what nobody promised to keep."""
    get_logger().debug("detail")
    get_logger().info("seen")
    assert [line["event"] for line in logs()] == ["seen"]


@pytest.mark.parametrize("name", ["token", "session_token", "secret", "signature", "authorization"])
def test_a_field_that_holds_a_secret_is_redacted(logs, name):
    """A careless log call must not publish a player's session."""
    get_logger().info("call", **{name: CANARY})
    (line,) = logs()
    assert line[name] == REDACTED


def test_a_secret_object_is_logged_as_its_id(logs):
    """Which secret verified a call is worth knowing; what it is, is not."""
    get_logger().info("call", key=Secret(CANARY))
    (line,) = logs()
    assert line["key"] == repr(Secret(CANARY))


def test_an_exception_is_logged_with_its_traceback(logs):
    """The line of an unexpected error is often all there is to find its cause."""
    try:
        int("broken")
    except ValueError as error:
        get_logger().exception("failed")
        get_logger().error("failed", exc_info=error)
        logging.getLogger("library").exception("failed too")
    get_logger().error("nothing raised", exc_info=True)
    *three, last = logs()
    assert all("'broken'" in line["exception"] for line in three)
    assert "exception" not in last


def test_the_standard_librarys_logs_come_out_as_the_same_json(logs):
    """A library's warning between our lines must not break what parses them."""
    logging.getLogger("library").warning("beware of %s", "dogs")
    logging.getLogger("library").info("chatter")
    (handler,) = (h for h in logging.getLogger().handlers if h.__module__ == "adapters.telemetry")
    handler.handle(logging.LogRecord("library", 40, "path", 1, "no %d", ("number",), None))
    first, second = logs()
    assert (first["event"], first["logger"], first["level"]) == (
        "beware of dogs",
        "library",
        "warning",
    )
    assert second["event"] == "no %d"


@pytest.mark.parametrize(
    "fields",
    [{"value": "\ud800"}, {"value": 2**70}, {"\udfff": 1}, {"value": {1: 2}}, {"value": object()}],
)
def test_a_line_is_written_whatever_it_holds(fields):
    """A provider's odd text in a log call must never break the call itself."""
    line = json.loads(render("info", {"event": "odd", **fields}))
    assert "odd" in line["event"]


def test_the_writer_is_made_once_in_a_process(pipe, logs):
    """The command line and the server both ask for it; lines must keep one order."""
    writer = configure_logging(pipe[1])
    assert configure_logging(pipe[1]) is writer
    writer.close()
    again = configure_logging(pipe[1])
    assert again is not writer
    again.close()


def test_a_commands_logs_are_readable_and_leave_its_output_alone(capsys):
    """What a command prints may be read by another program; its log goes to people."""
    try:
        configure_console()
        get_logger().info("migration_applied", number=3, token=CANARY)
    finally:
        structlog.reset_defaults()
    out, err = capsys.readouterr()
    assert out == ""
    assert "migration_applied" in err
    assert "number=3" in err
    assert CANARY not in err


def test_an_informal_line_waits_and_a_warning_does_not(pipe):
    """Lines are gathered for cheapness, but what is wrong must be seen at once."""
    reading, writing = pipe
    os.set_blocking(reading, False)
    writer = LineWriter(writing, flush_interval_s=60)
    writer.write(b"one\n")
    time.sleep(0.05)
    with pytest.raises(BlockingIOError):
        os.read(reading, 100)
    writer.write_now(b"two\n")
    deadline = time.monotonic() + 5
    found = b""
    while not found and time.monotonic() < deadline:
        time.sleep(0.005)
        try:
            found = os.read(reading, 100)
        except BlockingIOError:
            continue
    writer.close()
    assert found == b"one\ntwo\n"


def test_no_line_is_lost_or_torn_between_threads(tmp_path):
    """Lines of several threads interleave as whole lines, each exactly once."""
    file = tmp_path / "log"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    writer = LineWriter(descriptor, flush_interval_s=0.001)

    def work(worker: int) -> None:
        for number in range(2_000):
            writer.write(f"{worker}:{number}\n".encode())

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    os.close(descriptor)
    lines = file.read_text().splitlines()
    assert len(lines) == 8_000
    assert set(lines) == {f"{worker}:{number}" for worker in range(4) for number in range(2_000)}


def test_a_log_that_nobody_reads_costs_lines_and_never_the_caller(pipe):
    """A stuck log collector must not stop bets; what was dropped is counted in the log itself."""
    reading, writing = pipe
    writer = LineWriter(writing, flush_interval_s=60, lines_waiting_max=10)
    for number in range(25):
        writer.write(b"%d\n" % number)
    writer.flush()
    writer.close()
    *kept, last = os.read(reading, 100_000).splitlines()
    assert kept == [b"%d" % number for number in range(10)]
    assert json.loads(last)["event"] == "log_lines_lost"
    assert json.loads(last)["lines"] == 15


def test_a_log_that_nobody_reads_keeps_no_process_from_its_end(pipe, monkeypatch):
    """At a stop the line that is under way would be waited for until somebody reads."""
    monkeypatch.setattr(telemetry, "_CLOSE_TIMEOUT_S", 0.1)
    _, writing = pipe
    writer = LineWriter(writing, flush_interval_s=0.01)
    for _ in range(3):
        writer.write(b"x" * 200_000 + b"\n")
        time.sleep(0.05)
    closing = threading.Thread(target=writer.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_a_line_that_was_written_in_part_is_not_glued_to_the_next(tmp_path, monkeypatch):
    """A full disk takes what still fits; the lines after it must be readable again."""
    file = tmp_path / "log"
    log = os.open(file, os.O_WRONLY | os.O_CREAT)
    room = [8, 0]
    write = os.write

    def full(descriptor, data):
        if descriptor != log or not room:
            return write(descriptor, data)
        if fits := room.pop(0):
            return write(descriptor, bytes(data[:fits]))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    writer = LineWriter(log, flush_interval_s=60)
    for line in (b"first\nsecond\n", b"third\n"):
        writer.write(line)
        writer.flush()
    writer.close()
    os.close(log)
    first, half, third, lost = file.read_bytes().splitlines()
    assert (first, half, third) == (b"first", b"se", b"third")
    assert json.loads(lost)["event"] == "log_lines_lost"


def test_a_log_whose_reader_is_gone_is_survived(pipe):
    """The service outlives its log collector."""
    reading, writing = pipe
    os.close(reading)
    writer = LineWriter(writing, flush_interval_s=60)
    writer.write(b"lost\n")
    writer.flush()
    writer.close()


def test_what_is_queued_is_written_at_exit():
    """The last line before the end is the one that says why."""
    code = (
        "from adapters.telemetry import configure_logging, get_logger\n"
        "configure_logging()\nget_logger().info('last words')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=30
    )
    assert json.loads(done.stderr)["event"] == "last words"


def test_a_call_is_counted_and_timed_by_its_labels():
    """The dashboards' first two questions: how many of what, and how fast."""
    metrics = Metrics()
    metrics.call("betbrothers", "bet", "ok", 0.003)
    metrics.call("betbrothers", "bet", "ok", 0.003)
    metrics.call("betbrothers", "bet", "insufficient_funds", 0.001)
    metrics.idempotency_hit("betbrothers")
    metrics.queue_commands.set(3)
    text = metrics.render().decode()
    labels = 'integration="betbrothers",operation="bet"'
    assert f'wallet_ledger_calls_total{{{labels},outcome="ok"}} 2.0' in text
    assert f'wallet_ledger_calls_total{{{labels},outcome="insufficient_funds"}} 1.0' in text
    assert f"wallet_ledger_call_seconds_count{{{labels}}} 3.0" in text
    assert 'wallet_ledger_idempotency_hits_total{integration="betbrothers"} 1.0' in text
    assert "wallet_ledger_queue_commands 3.0" in text


def test_a_call_that_comes_to_a_bad_end_for_the_first_time_is_a_growth():
    """Prometheus sees none where a count comes into being as 1: no alarm would ring."""
    metrics = Metrics()
    metrics.expect_calls("gpas", "credit")
    metrics.call("gpas", "debit", "ok", 0.001)
    shown = metrics.render().decode()
    for operation in ("credit", "debit"):
        labels = f'integration="gpas",operation="{operation}"'
        for outcome in ALARMING:
            assert f'wallet_ledger_calls_total{{{labels},outcome="{outcome}"}} 0.0\n' in shown


WORKER = """
import sys
from adapters.metrics import Metrics
metrics = Metrics()
metrics.call("b", "bet", "ok", 0.001)
metrics.queue_commands.set(2)
if "away" in sys.argv:
    metrics.ready.set(0)
sys.stdout.write(metrics.render().decode())
"""


def worker(directory: Path, *found: str) -> str:
    """What `/metrics` shows of the worker and of those that shared the directory before it."""
    return subprocess.run(
        [sys.executable, "-c", WORKER, *found],
        cwd=ROOT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    ).stdout


def test_one_worker_without_a_database_is_enough_for_an_alarm(tmp_path):
    """One that does not look, as the supervisor, is not: it knows nothing against it."""
    assert "wallet_ledger_ready 1.0" in worker(tmp_path)
    assert "wallet_ledger_ready 0.0" in worker(tmp_path, "away")
    assert "wallet_ledger_ready 0.0" in worker(tmp_path)


def test_several_workers_are_counted_together(tmp_path):
    """Whichever worker answers `/metrics`, it answers for all of them.

    The directory is not there: somebody cleaned up, and no worker could be replaced.
    """
    directory = tmp_path / "gone"
    for _ in range(2):
        worker(directory)
    shown = worker(directory)
    assert 'outcome="ok"} 3.0' in shown
