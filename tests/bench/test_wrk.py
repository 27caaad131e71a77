"""What the load generator is told, and what is read of what it says."""

from pathlib import Path

import pytest

from bench import wrk

SAID = (
    "Running 2s test\n  1 threads and 64 connections\n"
    'BENCH {"requests":2000,"microseconds":2500000,"connect":1,"read":2,"write":3,"status":4,"timeout":5,'
    '"p50":118,"p99":1630,"max":9000}\n'
)


def test_a_result_is_read_from_its_line():
    load = wrk.parse(SAID)
    assert load == wrk.Load(requests=2000, seconds=2.5, failed=15, p50=118, p99=1630, max=9000)
    assert load.rate == 800


def test_no_result_is_a_failure_that_shows_what_was_said():
    with pytest.raises(wrk.LoadFailed, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused")


def test_the_script_sends_the_file_and_every_header_quoted():
    script = wrk.script(Path("/tmp/a body.json"), {"Authorization": 'Bearer "x"'})
    assert 'io.open("/tmp/a body.json", "rb")' in script
    assert 'wrk.headers["Authorization"] = "Bearer \\"x\\""' in script
    assert 'wrk.method = "POST"' in script


def test_an_idle_load_has_no_rate():
    assert wrk.Load(requests=0, seconds=0.0, failed=0, p50=0, p99=0, max=0).rate == 0
