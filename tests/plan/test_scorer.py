"""A scorer sees the form of a request, is trained by outcomes, and is used only where it has shown what is demanded."""

import json
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.plan.routing import KEY, facts, routes

from portico.analysis.explain import explain
from portico.analysis.learning import LEAST, Example, chosen, examples, fitted, train
from portico.config.load import load_plain
from portico.config.schema import Complexity
from portico.errors import ConfigError
from portico.plan.asked import Question
from portico.plan.branch import Branch, Way
from portico.plan.candidate import Candidate
from portico.plan.rules import wrong_rules
from portico.plan.scorer import LARGEST, Scorer, missed, read, sealed, wrong_scorers
from portico.plan.traits import NAMES, traits_of
from portico.record import Compared, Record, Side
from portico.types import Usage

SMALL, LARGE = "openai/small", "openai/large"
COMPLEXITY = Complexity(calls=100)
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "smart", "messages": [{"role": "user", "content": text}], **more}


def traits(body: dict[str, Any]) -> dict[str, int]:
    return dict(zip(NAMES, traits_of(facts("smart", body)), strict=True))


def test_traits_are_numbers_of_the_form() -> None:
    short, long = traits(said("Hello")), traits(said("word " * 900))
    assert long["bytes"] > short["bytes"]
    assert long["last"] > short["last"]
    code = traits(said("Why?\n```\nfor (i = 0; i < 10; i++) { x[i] += 1; }\n```\n" * 8))
    assert code["ticks"] > short["ticks"] == 0
    assert code["marks"] > short["marks"]
    assert code["escapes"] > short["escapes"] == 0
    tooled = traits(said("Hello", tools=TOOLS, max_tokens=1000, response_format={"type": "json_schema"}))
    assert (tooled["schema"], short["schema"]) == (100, 0)
    assert tooled["tools"] > short["tools"] == 0
    assert tooled["limit"] > short["limit"] == 0


def test_traits_are_the_same_in_any_language_that_is_written_as_long() -> None:
    one, other = "the quick brown fox " * 40, "le vif renard brun  " * 40
    assert traits(said(one)) == traits(said(other))


def test_a_conversation_of_any_length_has_traits_and_none_has_too() -> None:
    talk = [{"role": role, "content": "x" * 300} for role in ("user", "assistant") * 400]
    assert traits({"model": "m", "messages": talk})["messages"] > traits(said("x"))["messages"]
    assert traits({"model": "m", "messages": [{"role": "user"}] * 4000})["messages"] > 0
    assert len(traits_of(facts("m", {"model": "m"}))) == len(NAMES)


def test_what_an_agent_asks_shows_its_tools_and_their_results() -> None:
    turn = [
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "{}"},
    ]
    first = traits(said("Look", tools=TOOLS))
    later = traits({"model": "m", "messages": [{"role": "user", "content": "Look"}, *turn * 3], "tools": TOOLS})
    assert first["tools"] == later["tools"] > first["results"] == 0
    assert later["results"] > 0


PICTURED: list[tuple[str, Any, int]] = [
    ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}], 100),
    ("messages", [{"role": "user", "content": "An image of the town"}], 0),
    ("input", [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}], 100),
    ("contents", [{"role": "user", "parts": [{"inlineData": {"mimeType": "a/b", "data": ""}}]}], 100),
    ("contents", [{"role": "user", "parts": [{"text": "data"}]}], 0),
]


@pytest.mark.parametrize(("member", "talk", "images"), PICTURED)
def test_a_picture_is_seen_wherever_a_dialect_has_it(member: str, talk: Any, images: int) -> None:
    body = {"model": "m", member: talk}
    assert traits(body)["images"] == images
    assert facts("m", body).has_images is bool(images)


def test_what_is_fitted_is_what_was_there() -> None:
    chance = random.Random(1)
    rows, outcomes = [], []
    for _ in range(4000):
        a, b = chance.gauss(0, 1), chance.gauss(0, 1)
        likely = 1 / (1 + 2.718281828 ** -(0.5 + 2 * a - b))
        rows.append([1.0, a, b])
        outcomes.append(chance.random() < likely)
    bias, first, second = fitted(rows, outcomes)
    assert (bias, first, second) == pytest.approx((0.5, 2.0, -1.0), abs=0.2)


def test_a_regression_holds_where_a_trait_never_changes_and_where_all_is_told_apart() -> None:
    rows = [[1.0, float(number), 0.0] for number in range(-50, 50)]
    bias, weight, still = fitted(rows, [number >= 0 for number in range(-50, 50)])
    assert weight > 0.2
    assert abs(bias) < 10
    assert still == 0


def test_the_threshold_saves_most_of_those_that_surely_harm_no_more_than_is_allowed() -> None:
    scores = [(0.9, True, 9), (0.8, True, 9), (0.7, False, -1), (0.6, True, 9), (0.5, False, -1)]
    assert chosen(scores, 0.0) == 0.8
    assert chosen(scores, 0.5) == 0.8
    assert chosen(scores, 0.6) == 0.6
    assert chosen([(0.9, False, -1)], 0.0) == 1.0
    assert chosen([(0.9, True, 9), (0.9, False, -1)], 0.0) == 1.0


def test_what_saves_nothing_is_not_sent_to_the_small_model_though_it_harms_few() -> None:
    scores = [(0.9, True, 9), (0.8, False, -5), (0.7, False, -5), (0.6, True, 2)]
    assert chosen(scores, 1.0) == 0.9
    assert chosen([*scores, (0.5, True, 99)], 1.0) == 0.5


def learnt(count: int = 2000, seed: int = 3, noise: float = 0.05) -> list[Example]:
    """Calls for which the small model does where they are short and without tools, most of the time."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        words, tools = int(chance.lognormvariate(5, 1.2)), chance.random() < 0.3
        body = said("word " * words, **({"tools": TOOLS} if tools else {}))
        did = (words < 200 and not tools) is (chance.random() >= noise)
        found.append(Example(number, traits_of(facts("smart", body)), did, "copies", 100, 1000))
    return found


def test_a_scorer_says_how_it_did_on_the_newest_calls_that_it_has_not_seen() -> None:
    found = learnt()
    scorer = train(found, "smart", SMALL, harm=0.05)
    report = scorer.report
    assert (report.trained_on, report.held_out, report.since_ms) == (1200, 400, 1600)
    assert report.accuracy > 0.85
    assert report.accuracy > report.baseline + 0.1
    assert report.harm < 0.05
    assert report.saving is not None
    assert report.most is not None
    assert 0.2 < report.saving < report.most
    # The report says of its own calls what anybody finds who tries it on them.
    held = found[1600:]
    suffices = scorer.line()
    sent = [suffices(example.traits) for example in held]
    assert sent == [scorer.likelihood(example.traits) >= scorer.threshold for example in held]
    assert report.small == sum(sent) / 400
    assert report.harm == sum(to and not each.sufficed for to, each in zip(sent, held, strict=True)) / 400
    assert missed(report, COMPLEXITY) is None


@pytest.mark.parametrize(("threshold", "every"), [(0.0, True), (1.0, False)])
def test_a_threshold_at_an_end_is_for_all_calls(threshold: float, every: bool) -> None:
    suffices = msgspec.structs.replace(made(), threshold=threshold).line()
    assert {suffices(example.traits) for example in learnt(200)} == {every}


def test_where_there_is_nothing_to_learn_a_scorer_does_not_get_past_its_report() -> None:
    chance = random.Random(5)
    found = [msgspec.structs.replace(each, sufficed=chance.random() < 0.5) for each in learnt()]
    why = missed(train(found, "smart", SMALL, harm=0.05).report, COMPLEXITY)
    assert why is not None
    assert "accuracy" in why


def test_too_few_calls_and_calls_of_one_outcome_train_nothing() -> None:
    with pytest.raises(ConfigError, match="needed at the least"):
        train(learnt(LEAST - 1), "smart", SMALL, harm=0.05)
    with pytest.raises(ConfigError, match="did for all"):
        train([msgspec.structs.replace(each, sufficed=True) for each in learnt(200)], "smart", SMALL, harm=0.05)


# what records teach

_count = iter(range(10**6))


def record(target: str, *, model: str = "smart", form: int = 1, at: int = 0, **more: Any) -> Record:
    made = Record(
        f"c{next(_count)}", at, "k", "chat", model, target, 200, False, [], Usage(input=90, output=10),
        1000 if target == LARGE else 100, "reported", None, 1, 1,
    )  # fmt: skip
    made.traits = (form,) * len(NAMES)
    for field, value in more.items():
        setattr(made, field, value)
    return made


def copy(of: Record, *, to: str = SMALL, finish: bool = True, calls: bool = True, long: int = 500) -> Record:
    sides = (Side(of.target or "", 1000, None, 1, "stop", 400), Side(to, 90, None, 1, "stop", long))
    made = record(to, model=to, shadow_of=of.id, traits=None, key="shadow")
    made.compared = Compared("smart", *sides, same_finish=finish, same_calls=calls)
    return made


def test_a_copy_teaches_whether_the_small_model_says_what_the_large_one_says() -> None:
    asked = [record(LARGE, at=number) for number in range(6)]
    copies = [
        copy(asked[0]),
        copy(asked[1], finish=False),
        copy(asked[2], calls=False),
        copy(asked[3], long=2000),
        copy(asked[4], to="openai/another"),
    ]
    found = examples([*asked, *copies], "smart", SMALL, [LARGE])
    assert [(each.sufficed, each.small, each.large) for each in found] == [
        (True, 90, 1000), (False, 90, 1000), (False, 90, 1000), (False, 90, 1000)
    ]  # fmt: skip
    assert {each.source for each in found} == {"copies"}


def test_who_asks_again_or_for_more_was_not_served_by_the_small_model() -> None:
    content = record(SMALL, session="a", form=1)
    again = [record(SMALL, session="b", form=2, at=0), record(SMALL, session="b", form=2, at=1000)]
    wanted_more = [record(SMALL, session="c"), record(LARGE, session="c", model="openai/large", at=5000)]
    late = [record(SMALL, session="d"), record(LARGE, session="d", model="large", at=700_000)]
    unknown = record(SMALL)
    failed = record(SMALL, session="e", end="failed", status=502)
    found = examples([content, *again, *wanted_more, *late, unknown, failed], "smart", SMALL, [LARGE])
    assert [each.sufficed for each in found] == [True, False, False, True, True]
    assert {each.source for each in found} == {"calls"}


def test_what_somebody_says_counts_more_than_what_is_inferred() -> None:
    asked, mine, other = record(LARGE), record(SMALL), record(LARGE, model="elsewhere")
    labels = {asked.id: False, mine.id: True, other.id: True}
    found = examples([asked, copy(asked), mine, other], "smart", SMALL, [LARGE], labels)
    assert sorted((each.sufficed, each.source) for each in found) == [(False, "labels"), (True, "labels")]


def test_what_the_other_model_would_have_cost_follows_from_what_both_cost_elsewhere() -> None:
    asked = record(LARGE)
    mine = record(SMALL, session="a", cost_nano_usd=90)
    by_copies = examples([asked, copy(asked), mine], "smart", SMALL, [LARGE])
    assert {each.large for each in by_copies} == {1000}
    by_tokens = examples([asked, mine], "smart", SMALL, [LARGE])
    assert [(each.small, each.large) for each in by_tokens] == [(90, 1000)]
    assert examples([mine], "smart", SMALL, [LARGE])[0].large is None


# the file


def made() -> Scorer:
    return train(learnt(), "smart", SMALL, harm=0.05)


def written(path: Path, scorer: Scorer) -> Path:
    path.write_bytes(msgspec.json.encode(scorer))
    return path


def test_a_scorer_is_read_as_it_was_written(tmp_path: Path) -> None:
    scorer = made()
    assert read(written(tmp_path / "s.json", scorer), COMPLEXITY, "smart", SMALL) == scorer


BARS: list[tuple[dict[str, Any], str]] = [
    ({"calls": 401}, "401 are demanded"),
    ({"accuracy": 0.999}, "accuracy was"),
    ({"harm": 0.0}, "too small for them"),
    ({"saving": 0.9}, "it saved"),
]


@pytest.mark.parametrize(("bar", "why"), BARS)
def test_a_scorer_whose_report_misses_what_is_demanded_is_not_used(tmp_path: Path, bar: Any, why: str) -> None:
    path = written(tmp_path / "s.json", made())
    wanted = msgspec.structs.replace(COMPLEXITY, **bar)
    with pytest.raises(ConfigError, match=why):
        read(path, wanted, "smart", SMALL)


def test_a_file_that_is_broken_changed_or_of_something_else_is_not_used(tmp_path: Path) -> None:
    scorer = made()
    changed = msgspec.structs.replace
    report = changed(scorer.report, accuracy=1.0)
    cases: list[tuple[bytes, str]] = [
        (b"{", "is none"),
        (b"x" * (LARGEST + 1), "more than"),
        (msgspec.json.encode({**msgspec.to_builtins(scorer), "more": 1}), "is none"),
        (msgspec.json.encode(changed(scorer, report=report)), "not as it was written"),
        (msgspec.json.encode(sealed(changed(scorer, format=2))), "another version"),
        (msgspec.json.encode(sealed(changed(scorer, traits=1))), r"another version \(traits 1, and these are 2\)"),
        (msgspec.json.encode(sealed(changed(scorer, names=("a",)))), "another version"),
        (msgspec.json.encode(sealed(changed(scorer, weights=(1.0,)))), "too few numbers"),
        (msgspec.json.encode(sealed(changed(scorer, bias=1e12))), "out of all reason"),
        (msgspec.json.encode(sealed(changed(scorer, scales=(0.0,) * len(NAMES)))), "out of all reason"),
        (msgspec.json.encode(sealed(changed(scorer, model="other"))), "trained for 'other'"),
        (msgspec.json.encode(sealed(changed(scorer, small="a/b"))), "as the small model"),
    ]
    path = tmp_path / "s.json"
    for data, why in cases:
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=why):
            read(path, COMPLEXITY, "smart", SMALL)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "nothing", COMPLEXITY, "smart", SMALL)


# the strategy


def config(**complexity: Any) -> dict[str, Any]:
    smart = {"strategy": "complexity", "targets": [SMALL, LARGE, "openai/spare"], "complexity": complexity}
    return {"providers": {"openai": KEY}, "models": {"smart": smart}}


def test_without_a_scorer_the_large_targets_serve_and_traits_are_kept() -> None:
    known = facts("smart", said("Hello"))
    with routes(config()) as built:
        plan = built.plan(known, lambda: 0.5)
    assert [one.name for one in plan.candidates] == [LARGE, "openai/spare", SMALL]
    assert known.traits == traits_of(known)


def test_a_scorer_sends_what_the_small_target_does_for_to_it(tmp_path: Path) -> None:
    path = written(tmp_path / "s.json", made())
    with routes(config(scorer=str(path))) as built:
        short = built.plan(facts("smart", said("word " * 20)), lambda: 0.5).candidates
        long = built.plan(facts("smart", said("word " * 3000, tools=TOOLS)), lambda: 0.5).candidates
    assert [one.name for one in short] == [SMALL, LARGE, "openai/spare"]
    assert [one.name for one in long] == [LARGE, "openai/spare", SMALL]


def test_how_likely_the_small_target_is_to_do_is_explained(tmp_path: Path) -> None:
    path = written(tmp_path / "s.json", made())
    body = said("word " * 20)
    switched = explain(load_plain(config(scorer=str(path)), {}).config, Question(body=body), environ={})
    assert switched.likelihood == pytest.approx(made().likelihood(traits_of(facts("smart", body))), abs=1e-4)
    assert (switched.likelihood or 0) > 0.8
    assert switched.targets[0].target == SMALL
    assert explain(load_plain(config(), {}).config, Question(body=body), environ={}).likelihood is None


def test_a_configuration_with_a_scorer_that_is_not_to_be_used_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "s.json", made())
    bad = config(scorer=str(path), harm=0.0)
    with pytest.raises(ConfigError, match=r"models.smart.complexity.scorer: .*too small for them"), routes(bad):
        pass
    ((where, why),) = wrong_scorers(load_plain(bad, {}).config)
    assert where == ("models", "smart", "complexity", "scorer")
    assert "too small for them" in why


def test_where_the_small_target_is_left_out_the_others_keep_their_order() -> None:
    kids = [Candidate(None, name, None) for name in (SMALL, LARGE, "openai/spare")]
    found = Branch("m", kids, "complexity").order(facts("m"), Way(lambda: 0.0), lambda one: one.name != SMALL)
    assert [one.name for one in found] == [LARGE, "openai/spare"]


# what rules read of it

in_cel = pytest.mark.skipif(
    find_spec("cel_expr_python") is None, reason="cel-expr-python, which rules are written in, is not installed"
)
LONG, SHORT = said("word " * 3000, tools=TOOLS), said("word " * 20)
WHEN = "complexity < 0.3"


def ruled(own: str | None, general: str | None, *, when: str = WHEN, of_all: bool = False) -> dict[str, Any]:
    """A name whose calls a rule of its own, or of all, sends to the small model; with which scorers there are."""
    rules = {"rules": [{"when": when, "use": SMALL}]}
    smart: dict[str, Any] = {"targets": [LARGE], **({} if of_all else rules)}
    routing: dict[str, Any] = {**(rules if of_all else {})}
    if own is not None:
        smart["complexity"] = {"scorer": own}
    if general is not None:
        routing["complexity"] = {"scorer": general}
    return {"providers": {"openai": KEY}, "models": {"smart": smart, "bare": [LARGE]}, "routing": routing}


def first(said_of: dict[str, Any], body: dict[str, Any], model: str = "smart") -> str:
    with routes(said_of) as built:
        return built.plan(facts(model, body), lambda: 0.5).candidates[0].name


@in_cel
@pytest.mark.parametrize("of_all", [False, True], ids=["of one model", "of all models"])
@pytest.mark.parametrize("general", [False, True], ids=["its own scorer", "that of all"])
def test_a_rule_reads_what_a_scorer_says(tmp_path: Path, general: bool, of_all: bool) -> None:
    path = str(written(tmp_path / "s.json", made()))
    config = ruled(None if general else path, path if general else None, of_all=of_all)
    assert (first(config, SHORT), first(config, LONG)) == (SMALL, LARGE)


@in_cel
def test_a_call_keeps_the_traits_that_a_rule_was_decided_by(tmp_path: Path) -> None:
    known = facts("smart", SHORT)
    with routes(ruled(str(written(tmp_path / "s.json", made())), None)) as built:
        built.plan(known, lambda: 0.5)
    assert known.traits == traits_of(known)


@in_cel
def test_complexity_cannot_be_decided_of_a_call_whose_model_has_no_scorer(tmp_path: Path) -> None:
    path = str(written(tmp_path / "s.json", made()))
    config = ruled(path, None, of_all=True)
    assert first(config, SHORT, "bare") == LARGE
    assert first(ruled(path, None, of_all=True, when=f'model == "bare" || {WHEN}'), LONG, "bare") == SMALL


@in_cel
def test_how_complex_a_call_is_is_how_likely_a_small_model_is_not_to_do(tmp_path: Path) -> None:
    scorer = made()
    path = str(written(tmp_path / "s.json", scorer))
    likely = scorer.likelihood(traits_of(facts("smart", SHORT)))
    for bound, expected in ((1 - likely + 0.01, SMALL), (1 - likely - 0.01, LARGE)):
        assert first(ruled(None, path, when=f"complexity < {bound:.6f}"), SHORT) == expected
    config = load_plain(ruled(None, path), {}).config
    assert explain(config, Question(body=SHORT), environ={}).likelihood == pytest.approx(likely, abs=1e-4)


@in_cel
@pytest.mark.parametrize("of_all", [False, True])
def test_a_rule_that_reads_complexity_where_there_is_no_scorer_is_refused(of_all: bool) -> None:
    config = ruled(None, None, of_all=of_all)
    where = "routing.rules[0].when" if of_all else "models.smart.rules[0].when"
    with pytest.raises(ConfigError, match="no scorer to ask") as refused, routes(config):
        pass
    assert refused.value.message.startswith(where)
    ((path, why),) = wrong_rules(load_plain(config, {}).config)
    assert ".".join(map(str, path)) == where.replace("[", ".").replace("]", "")
    assert "set `routing.complexity.scorer`" in why


def test_a_scorer_of_all_that_is_not_to_be_used_is_refused(tmp_path: Path) -> None:
    config = ruled(None, str(tmp_path / "nothing"), when="true")
    ((where, why),) = wrong_scorers(load_plain(config, {}).config)
    assert where == ("routing", "complexity", "scorer")
    assert "cannot be read" in why


def test_a_scorer_has_an_effect_where_a_rule_reads_it(tmp_path: Path) -> None:
    path = str(tmp_path / "s.json")
    assert not load_plain(ruled(path, None), {}).warnings
    assert not load_plain(ruled(path, None, of_all=True), {}).warnings
    (warning,) = load_plain(ruled(path, None, when="true"), {}).warnings
    assert "a rule that reads `complexity`" in str(warning)


def test_a_record_keeps_traits_as_json() -> None:
    assert json.loads(msgspec.json.encode(record(SMALL, form=7)))["traits"] == [7] * len(NAMES)
