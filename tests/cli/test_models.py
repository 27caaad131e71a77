"""`portico models` as a person and as a program see it."""

import json
from collections.abc import Sequence

import pytest
from click.testing import CliRunner, Result

from portico.cli import models
from portico.cli.models import command
from portico.providers.catalog import CATALOG


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def names(*arguments: str) -> list[str]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return [f"{one['provider']}/{one['model']}" for one in json.loads(done.output)["models"]]


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, arguments: Sequence[str]) -> list[str]:
    monkeypatch.setattr(models, "_width", lambda: columns)
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_all_words_must_be_in_the_name_whatever_their_case() -> None:
    found = names("Claude", "SONNET")
    assert "anthropic/claude-sonnet-4-6" in found
    assert all("claude" in name.lower() and "sonnet" in name.lower() for name in found)


def test_a_word_may_be_the_provider() -> None:
    assert all(name.startswith("groq/") for name in names("groq/"))


def test_providers_that_serve_their_own_models_come_first() -> None:
    assert next(iter(names("gpt-4o-mini"))).startswith("openai/")


def test_providers_that_the_catalog_lacks_come_last_and_are_named() -> None:
    assert names("deepseek")[-1].partition("/")[0] not in CATALOG
    assert set(models.FIRST) <= CATALOG.keys()
    assert "Not in the catalog" in run("--provider", "deepgram").output
    assert "Not in the catalog" not in run("--provider", "openai").output


def test_models_that_have_ended_come_after_the_others_of_their_provider() -> None:
    document = json.loads(run("--provider", "openai", "--json").output)
    ended = [(one["deprecated"] or "9") <= document["date"] for one in document["models"]]
    assert ended[0] is False
    assert any(ended)
    assert document["models"][-1]["context_window"] is None or ended[-1]


def test_filters_hold_for_every_model_shown() -> None:
    done = run(
        *("--mode", "chat", "--capability", "tools", "--capability", "vision", "--max-input-price", "0.5"),
        *("--min-context", "1m", "--json"),
    )
    found = json.loads(done.output)["models"]
    assert len(found) > 5
    for one in found:
        assert one["mode"] == "chat"
        assert {"tools", "vision"} <= set(one["capabilities"])
        assert one["dollars_per_million_tokens"]["input"] <= 0.5
        assert one["context_window"] >= 1_000_000


def test_several_providers_may_be_asked_for() -> None:
    found = {name.partition("/")[0] for name in names("--provider", "groq", "--provider", "mistral")}
    assert found == {"groq", "mistral"}


def test_without_a_question_there_are_thousands() -> None:
    assert len(names()) >= 3_000


@pytest.mark.parametrize(
    ("size", "tokens"), [("128000", 128_000), ("128k", 128_000), ("1m", 1_000_000), ("0.2M", 200_000)]
)
def test_sizes_are_written_as_people_write_them(size: str, tokens: int) -> None:
    done = run("--provider", "openai", "--min-context", size, "--json")
    assert min(one["context_window"] for one in json.loads(done.output)["models"]) >= tokens


def test_json_has_everything_with_its_day_and_its_sources() -> None:
    document = json.loads(run("--provider", "openai", "gpt-5.5", "--json").output)
    assert document["date"].startswith("20")
    assert len(document["sources"]) == 2
    one = next(one for one in document["models"] if one["model"] == "gpt-5.5")
    assert one["dollars_per_million_tokens"]["input"] == 5.0
    assert one["dollars_per_million_tokens"]["batch.output"] == 15.0
    assert one["dollars_per_million_tokens"]["input>272000"] == 10.0
    assert one["dollars_per_unit"]["search"] == 0.01


def test_a_limit_holds_in_a_table_and_in_json() -> None:
    assert len(names("--limit", "3")) == 3
    assert "3 of " in run("gpt", "--limit", "3").output


def test_a_table_stops_at_a_screenful_and_says_so() -> None:
    output = run().output
    assert len(output.splitlines()) < models.SHOWN + 6
    assert f"{models.SHOWN} of 5," in output or f"{models.SHOWN} of " in output
    assert "--limit 0 shows all" in output


def test_no_limit_shows_all() -> None:
    lines = run("--provider", "groq", "--limit", "0").output.splitlines()
    assert len([line for line in lines if line.startswith("groq/")]) == len(names("--provider", "groq"))
    assert "--limit 0" not in "".join(lines)


@pytest.mark.parametrize("columns", [40, 80, 100, 120, 200])
@pytest.mark.parametrize(
    "arguments",
    [("claude",), ("--mode", "image"), ("--mode", "speech"), ("--provider", "fireworks"), ("--provider", "bedrock")],
)
def test_a_table_fits_its_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, arguments: tuple[str, ...]) -> None:
    lines = on_a_terminal(monkeypatch, columns, arguments)
    table = lines[: lines.index("")]
    alone = [line for line in table if " " not in line]  # a long name stands whole on a line of its own
    needed = 75 if columns < 75 else columns  # below this the figures themselves do not fit
    assert all(len(line) <= needed for line in table if line not in alone)
    assert all("/" in line for line in alone)


@pytest.mark.parametrize("columns", [80, 120])
def test_figures_stand_under_their_heads(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    head, *rows = on_a_terminal(monkeypatch, columns, ["--provider", "openai", "gpt-4o-mini"])
    row = next(row for row in rows if row.startswith("openai/gpt-4o-mini "))
    end = head.index("$/M IN") + len("$/M IN")
    assert row[:end].endswith(" 0.15")


def test_a_wide_terminal_shows_more_than_a_narrow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = on_a_terminal(monkeypatch, 80, ["claude"])[0]
    wide = on_a_terminal(monkeypatch, 200, ["claude"])[0]
    assert "CAN" in wide
    assert "CAN" not in narrow
    assert set(narrow.split()) < set(wide.split())


def test_the_foot_names_the_day_and_the_sources() -> None:
    *_, foot = run("gpt-4o").output.splitlines()
    assert foot.startswith("Prices of 20")
    assert "litellm" in foot
    assert "genai-prices" in foot


def test_a_price_that_grows_with_the_context_is_marked() -> None:
    output = run("--provider", "gemini", "gemini-2.5-pro").output
    assert "1.25+" in output
    assert "+ another rate for large contexts" in output


@pytest.mark.parametrize(
    ("pico", "text"), [(2_500_000, "2.50"), (75_000, "0.075"), (10_000_000, "10.00"), (0, "0.00"), (333, "0.000333")]
)
def test_dollars_have_two_decimals_or_as_many_as_it_takes(pico: int, text: str) -> None:
    assert models._per_million(pico) == text


def test_nothing_found_is_exit_code_one() -> None:
    done = run("no-such-model-anywhere")
    assert done.exit_code == 1
    assert "No model is known that fits" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--provider", "opnai"), "Did you mean openai"),
        (("--mode", "chatting"), "'chatting' is not one of"),
        (("--capability", "flying"), "'flying' is not one of"),
        (("--min-context", "big"), "write 128000, 128k or 1m"),
        (("--limit", "-1"), "-1 is not in the range"),
        (("--max-input-price", "cheap"), "'cheap' is not a valid float"),
        (("--no-such-option",), "No such option"),
    ],
)
def test_a_question_that_makes_no_sense_is_exit_code_two(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_help_explains_itself() -> None:
    output = run("--help").output
    assert "portico models claude sonnet" in output
    assert "prices_refresh" in output


def test_the_choices_are_the_words_of_the_table() -> None:
    found = json.loads(run("--json").output)["models"]
    assert {one["mode"] for one in found} - {None} <= set(models.MODES)
    assert {word for one in found for word in one["capabilities"]} == set(models.CAPABILITIES)
