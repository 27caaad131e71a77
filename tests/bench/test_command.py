"""`portico bench` on a running gateway."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from portico.cli import bench
from portico.cli.load import Outcome, Plan, Reply, Tally, Times, drive, outcome, times
from portico.errors import ConnectFailed
from portico.testing import MockProvider
from portico.wire.client import Origin
from portico.wire.replied import ReplyHead


@pytest.fixture
async def mock():
    async with MockProvider(port=0) as provider:
        yield provider


def plan_for(url, **more):
    asked = {"model": "any?tokens=5", "messages": [{"role": "user", "content": "Hello"}]} | more.pop("asked", {})
    given = {"key": "k", "at_once": 3, "seconds": 60.0, "calls": 9, "timeout": 10.0, "ca": None, "streamed": False}
    path = more.pop("path", "/v1/chat/completions")
    return bench.plan_of(url, path, body=json.dumps(asked).encode(), **(given | more))


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/"])
async def test_calls_are_made_counted_and_timed(mock, base):
    done = await drive(plan_for(mock.url + base))
    assert (done.good, done.faults, done.example) == (9, {}, None)
    assert mock.ledger.totals.served == 9
    assert 0 < done.first.p50 <= done.whole.max


async def test_streams_are_read_to_their_end(mock):
    done = await drive(plan_for(mock.url, asked={"stream": True}, streamed=True))
    assert (done.good, done.faults) == (9, {})
    assert done.events > 9 * 5


async def test_refusals_are_counted_by_status_with_the_words_of_the_first(mock):
    done = await drive(plan_for(mock.url, asked={"model": "any?status=503"}))
    assert done.good == 0
    assert done.faults == {"status 503": 9}
    assert "overloaded" in done.example
    assert done.whole is None


async def test_a_stream_that_breaks_off_is_no_good_reply(mock):
    done = await drive(
        plan_for(mock.url, asked={"model": "any?cut=1", "stream": True}, streamed=True, calls=1, at_once=1)
    )
    assert done.good == 0
    assert sum(done.faults.values()) == 1


def sink(*, streamed=False, end=None):
    plan = Plan(origin=Origin("http", "h", 1), head=b"", body=b"", at_once=1, seconds=1.0, streamed=streamed, end=end)
    ticks = iter([10.0, 10.25, 10.5])
    tally = Tally()

    class Ended:
        def done(self):
            return True

    return tally, Reply(plan, tally, Ended(), lambda: next(ticks))


def test_the_first_byte_and_the_whole_are_timed_from_the_request():
    tally, reply = sink()
    headers = [(b"x-portico-overhead-us", b"150"), (b"x-portico-cost-usd", b"0.000000210")]
    reply.whole(ReplyHead(200, headers, dict(headers)), b"{}")
    assert (tally.first, tally.whole, tally.overhead) == ([0.25], [0.5], [0.00015])
    assert outcome(tally, 2.0).cost == "0.000000210"


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(("stream", "good"), [(b"data: {}\n\ndata: [DONE]\n\n", 1), (b"data: {}\n\ndata: {}\n\n", 0)])
def test_a_stream_without_its_end_mark_is_not_good_however_it_is_cut(stream, good, size):
    tally, reply = sink(streamed=True, end=b"[DONE]")
    reply.head(ReplyHead(200, [], {}))
    reply._clock = lambda: 11.0
    for begin in range(0, len(stream), size):
        reply.feed(stream[begin : begin + size])
    reply.end(None)
    assert tally.good == good
    assert tally.events == 2
    assert dict(tally.faults) == ({} if good else {"stream without its end": 1})


def test_what_breaks_is_counted_by_its_code():
    tally, reply = sink()
    reply.end(ConnectFailed("no such host"))
    assert dict(tally.faults) == {"upstream_unreachable": 1}
    assert tally.example == "no such host"


def test_times_are_nearest_ranks():
    assert times([float(value) for value in range(100, 0, -1)]) == Times(50.0, 90.0, 99.0, 100.0)
    assert times([]) is None


OUTCOME = Outcome(
    seconds=2.0,
    good=100,
    rate=50.0,
    faults={"status 503": 2},
    example="try again",
    first=Times(0.001, 0.002, 0.003, 0.004),
    whole=Times(0.01, 0.02, 0.03, 1.5),
    overhead=None,
    events=40,
    cost="0.25",
)


def test_the_outcome_is_told_for_a_person():
    said = bench.told(OUTCOME, plan_for("http://h", streamed=True))
    assert "100 good replies in 2.0 s, 3 at once: 50.0 a second" in said
    assert "1.50 s" in said
    assert "40 events, 20 a second" in said
    assert "2 failed" in said
    assert "status 503" in said
    assert "the first one said: try again" in said
    assert "$0.25" in said


@pytest.fixture
def run(monkeypatch):
    plans = []

    def pretend(plan):
        plans.append(plan)
        return OUTCOME

    monkeypatch.setattr(bench, "_run", pretend)
    return lambda *arguments: (CliRunner().invoke(bench.command, list(arguments)), plans)


def test_the_command_sends_what_it_was_told(run):
    result, (plan,) = run("http://h:9/v1", "--key", "sk-1", "-m", "m", "-c", "7", "-d", "3", "--stream", "--json")
    assert result.exit_code == 1  # two calls failed
    assert json.loads(result.output)["rate"] == 50.0
    assert (plan.at_once, plan.seconds, plan.streamed, plan.end) == (7, 3.0, True, b"[DONE]")
    assert plan.head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: h:9\r\n")
    assert b"authorization: Bearer sk-1\r\n" in plan.head
    assert json.loads(plan.body)["model"] == "m"
    assert json.loads(plan.body)["stream"] is True


def test_a_body_of_ones_own_says_whether_it_streams(run, tmp_path):
    file = tmp_path / "body.json"
    file.write_text('{"model": "m", "stream": true}')
    _, (plan,) = run("http://h", "--body", str(file), "--path", "/v1/responses")
    assert plan.streamed
    assert plan.end is None
    assert plan.body == file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["http://h"], "name a model"),
        (["ftp://h", "-m", "m"], "not an absolute http or https URL"),
        (["http://h", "-m", "m", "--key", "a\nb"], "no header can carry"),
        (["http://h", "-m", "m", "--quick"], "takes no URL"),
        (["http://h", "-m", "m", "-c", "0"], "range"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(run, arguments, says):
    result, plans = run(*arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert plans == []


def test_without_the_sources_the_comparison_says_what_it_needs(run, monkeypatch):
    monkeypatch.setattr(bench, "CHECKOUT", Path("/nowhere"))
    result, _ = run()
    assert result.exit_code == 2
    assert "give the URL of a gateway" in result.output


@pytest.mark.source
def test_with_the_sources_the_command_becomes_the_comparison_with_its_options(run, monkeypatch):
    commands = []

    def pretend(program, command):
        commands.append(command[1:])
        raise SystemExit(3)

    monkeypatch.setattr(bench.os, "execv", pretend)
    result, _ = run("--quick", "--only", "portico,nginx", "--json")
    assert result.exit_code == 3
    (command,) = commands
    assert command[0].endswith("bench/run.py")
    assert command[1:] == ["--quick", "--json", "--only", "portico,nginx"]
