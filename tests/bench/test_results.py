"""What a run says of the promises, and how it is told."""

import json
import xml.etree.ElementTree as ET

import pytest
from bench.figures import Spread
from bench.results import MEGABYTE, Records, Result, number, promises, shown
from bench.scenarios import Row

from bench import plots, report

CALL = "call 1 KB plain"


def call(subject, turn, rate, cpu, p99, **more):
    return Row(CALL, subject, turn, {"rate": rate, "cpu": cpu, "p50": 100.0, "p99": p99, **more})


@pytest.fixture
def result():
    rows = []
    for turn, noise in enumerate((1.0, 2.0, 0.5)):
        rows.append(call("nginx", turn, 60_000 * noise, 10.0, 200.0, foreign=0.01))
        rows.append(call("portico", turn, 24_000 * noise, 30.0 + turn, 700.0 + turn, foreign=0.02))
        rows.append(Row(CALL, "portkey", turn, {}, {"failed of 900": 3}))
        rows.append(Row("stream cost", "stream", turn, {"cpu": 20.0 * noise, "rate": 9.0, "lost": 0.0}))
        rows.append(Row("stream cost", "portico", turn, {"cpu": 23.0 * noise, "rate": 9.0, "lost": 0.0}))
    rows.append(Row("memory idle", "portico", 0, {"rss": 73.0 * MEGABYTE, "processes": 3.0}))
    rows.append(Row("memory after x", "portico", 0, {"rss": 90.0 * MEGABYTE}))
    rows.append(Row("streams held", "portico", 0, {"largest rss": 85.0 * MEGABYTE, "lost": 2.0}, {"event lost": 2}))
    return Result(machine={"processor": "a"}, began=0.0, quick=True, rows=rows, versions={"nginx": "1"})


def held(result):
    return {one.text: one for one in promises(result)}


def test_a_ratio_is_taken_within_each_round_so_that_noise_common_to_both_falls_out(result):
    assert result.ratio(CALL, "portico", "rate", "nginx") == Spread(0.4, 0.4, 0.4, 3)
    assert result.ratio(CALL, "portico", "cpu", "nginx") == Spread(3.1, 3.0, 3.2, 3)
    assert result.added(CALL, "portico", "p99", "nginx") == Spread(501.0, 500.0, 502.0, 3)


def test_promises_say_what_holds_what_fails_and_what_is_not_known(result):
    found = held(result)
    assert found[f"{CALL}: calls a second, of nginx's"].holds is True
    assert found[f"{CALL}: CPU per call, of nginx's"].holds is True
    assert found[f"{CALL}: p99 at one connection over nginx's, ms"].value == pytest.approx(0.501)
    assert found["stream cost: CPU per event where the reference takes 10, µs"].value == pytest.approx(11.5)
    assert found["memory of the worker with 1,500 streams, MB"].holds is False
    assert found["events lost of 1,500 streams"].holds is False
    assert found[f"{CALL}: calls a second, of litellm's"].holds is None
    assert found[f"{CALL}: calls a second, of litellm's"].shown == "not measured"


def test_a_peer_that_answers_errors_gets_no_figure(result):
    table = report.plain(report.calls_table(result, CALL))
    (line,) = (line for line in table.splitlines() if line.startswith("portkey"))
    assert "no figure: failed of 900: 9" in line
    assert result.ratio(CALL, "portico", "rate", "portkey") is None


def test_a_run_is_sound_only_without_faults_and_with_a_record_for_every_call(result):
    assert not result.sound()
    result.rows = [row for row in result.rows if not row.faults]
    assert result.sound()
    result.records["portico"] = Records(found=99, least=100, most=120)
    assert not result.sound()
    result.records["portico"] = Records(found=110, least=100, most=120)
    assert result.sound()
    result.skip("portico", "it did not start", lambda words: None)
    assert not result.sound()


def test_the_largest_memory_of_any_reading_but_the_first_is_the_loaded_one(result):
    assert result.loaded("portico") == 90.0 * MEGABYTE
    assert result.loaded("direct") is None


def test_a_skipped_subject_is_named_with_its_reason(result):
    said = []
    result.skip("litellm", "no network", said.append)
    assert said == ["SKIPPED litellm: no network"]
    assert "left out: litellm: no network" in report.as_text(result)


def test_a_busy_machine_is_called_so(result):
    assert "NOISE" not in report.as_text(result)
    result.rows = [call("nginx", 0, 1.0, 1.0, 1.0, foreign=0.4)]
    assert "NOISE" in report.as_text(result)


def test_the_page_has_every_table_and_what_the_figures_do_not_say(result):
    page = report.as_markdown(result, ["a.svg"])
    for title, _ in report.tables(result):
        assert f"## {title}\n" in page
    assert "![a](a.svg)" in page
    assert "## What these figures do not say" in page


def test_json_has_every_row_and_promise(result):
    data = json.loads(report.as_json(result))
    assert len(data["rows"]) == len(result.rows)
    assert len(data["promises"]) == len(promises(result))


def test_writing_gives_a_page_the_data_and_the_plots(result, tmp_path):
    result.rows.append(Row("soak memory", "portico", 5, {"rss": 1.0 * MEGABYTE}))
    written = report.write(result, tmp_path / "results")
    assert {path.suffix for path in written} == {".md", ".json", ".svg"}
    for path in written:
        if path.suffix == ".svg":
            ET.fromstring(path.read_text())


def test_bars_grow_with_their_value_and_escape_their_names():
    picture = ET.fromstring(plots.bars("a & b", "µs", [("small", 10.0), ("<large>", 1000.0), ("none", 0.0)]))
    bars = [float(one.get("width")) for one in picture if one.tag.endswith("rect")]
    texts = [one.text for one in picture if one.tag.endswith("text")]
    assert bars[0] < bars[1]
    assert len(bars) == 2
    assert "<large>" in texts


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.0041, "0.004"),
        (0.38, "0.38"),
        (3.14159, "3.14"),
        (41.26, "41.3"),
        (118.2, "118"),
        (74393, "74,393"),
    ],
)
def test_numbers_are_short_enough_to_read(value, said):
    assert number(value) == said


def test_a_figure_of_several_rounds_shows_its_extremes():
    assert shown(Spread(2, 1, 3, 3)) == "2.00 (1.00 to 3.00)"
    assert shown(Spread(2, 2, 2, 1)) == "2.00"


def test_columns_line_up():
    assert report.plain([["", "b"], ["long name", "1"], ["x", "22.5"]]) == (
        "              b\nlong name     1\nx          22.5"
    )
