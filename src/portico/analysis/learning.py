"""From the records of calls to a scorer: for which of them the small model did, a regression over them, and a report.

Nobody says of most calls whether an answer was good. What is taken for it, in this order:

- `labels` that somebody gives, by the id of a call.
- Copies (`shadow`): the small model's answer beside the large one's. It did where both end for the same reason, call
  the same tools with the same arguments, and neither text is more than three times as long as the other. That is
  likeness of form: two answers of one form may still differ in what is true.
- Calls that the small model served itself, of callers that can be told apart (session, customer or user). It did
  unless, within ten minutes, the same one asked again in the very same form, or asked for a larger model by name.

The oldest three fifths of the examples train, the next fifth chooses the threshold, the newest fifth is the report's.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final, Literal

import msgspec

from portico.errors import ConfigError
from portico.plan.scorer import FORMAT, Report, Scorer, sealed
from portico.plan.traits import NAMES, VERSION, usable
from portico.record import Compared, Record

AGAIN_MS: Final = 600_000
"""How soon asking again says that an answer did not do."""
ALIKE: Final = 3.0
"""How many times as long one of two answers that are alike may be."""
SHORT: Final = 200
"""Characters up to which lengths are not compared."""
LEAST: Final = 100
"""Examples without which nothing is trained."""
MOST: Final = 50_000
"""Examples that are used, the newest."""
RIDGE: Final = 1.0
STEPS: Final = 25
SURE: Final = 2.0
"""Standard deviations by which a threshold must do less harm than is allowed: it will do more on other calls."""
SIZES: Final = (0.6, 0.8)

Source = Literal["copies", "calls", "labels"]


class Example(msgspec.Struct, frozen=True):
    """A call whose outcome is known: whether the small model did, and what it costs at either, in nano-dollars."""

    time_ms: int
    traits: tuple[int, ...]
    sufficed: bool
    source: Source
    small: int | None = None
    large: int | None = None


def examples(
    records: Sequence[Record],
    model: str,
    small: str,
    large: Sequence[str],
    labels: Mapping[str, bool] | None = None,
) -> list[Example]:
    """Return what records of a model's calls and of their copies teach, oldest first.

    `small` and `large` are its targets, `provider/model`; `labels` say of calls, by id, whether the small model did.
    """
    labels = labels or {}
    by_id = {record.id: record for record in records}
    ratio = _ratio(records, model, small, large)
    asked_again = _asked_again(records, model, small, large)
    found: dict[str, Example] = {}
    for record in records:
        if record.shadow_of is not None and record.compared is not None and record.compared.model == model:
            original = by_id.get(record.shadow_of)
            traits = original.traits if original is not None else record.traits
            pair = _pair(record, small, large)
            if usable(traits) and pair is not None:
                did, cost_small, cost_large = pair
                source: Source = "labels" if record.shadow_of in labels else "copies"
                did = labels.get(record.shadow_of, did)
                found[record.shadow_of] = Example(record.time_ms, traits, did, source, cost_small, cost_large)
    for record in records:
        if record.id in found or record.shadow_of is not None or record.model != model:
            continue
        if not usable(record.traits) or record.end != "served":
            continue
        cost = record.cost_nano_usd
        if record.target == small:
            costs = (cost, round(cost * ratio) if cost is not None and ratio else None)
        else:
            costs = (round(cost / ratio) if cost is not None and ratio else None, cost)
        if record.id in labels:
            found[record.id] = Example(record.time_ms, record.traits, labels[record.id], "labels", *costs)
        elif record.target == small and record.status < 400 and _who(record) is not None:
            did = record.id not in asked_again
            found[record.id] = Example(record.time_ms, record.traits, did, "calls", *costs)
    return sorted(found.values(), key=lambda example: example.time_ms)[-MOST:]


def train(found: Sequence[Example], model: str, small: str, *, harm: float) -> Scorer:
    """Return a scorer with its report, whatever that says. Raises ConfigError where there is too little to learn from.

    `harm` is the share of calls that may go to the small model though it does not do.
    """
    if len(found) < LEAST:
        raise ConfigError(f"{len(found)} calls have an outcome that is known; {LEAST} are needed at the least")
    first, second = (int(len(found) * size) for size in SIZES)
    training, choosing, held_out = found[:first], found[first:second], found[second:]
    if len({example.sufficed for example in training}) < 2:
        every = "all" if training[0].sufficed else "none"
        raise ConfigError(f"there is nothing to tell apart: the small model did for {every} of the calls to train by")
    means, scales = _scaling([example.traits for example in training])
    rows = [[1.0, *_scaled(example.traits, means, scales)] for example in training]
    bias, *weights = fitted(rows, [example.sufficed for example in training])
    bare = Scorer(
        format=FORMAT,
        traits=VERSION,
        names=tuple(NAMES),
        model=model,
        small=small,
        means=tuple(means),
        scales=tuple(scales),
        weights=tuple(weights),
        bias=bias,
        threshold=1.0,
        report=_report([], [], len(training)),
    )
    threshold = chosen([(bare.likelihood(each.traits), each.sufficed, _saved(each)) for each in choosing], harm)
    scorer = msgspec.structs.replace(bare, threshold=threshold)
    suffices = scorer.line()
    sent = [suffices(example.traits) for example in held_out]
    return sealed(msgspec.structs.replace(scorer, report=_report(held_out, sent, len(training))))


def fitted(rows: Sequence[Sequence[float]], outcomes: Sequence[bool]) -> list[float]:
    """Return the weights of a logistic regression, by Newton's method; all but the first are held small (ridge)."""
    width = len(rows[0])
    weights = [0.0] * width
    for _ in range(STEPS):
        slope = [0.0] + [-RIDGE * weight for weight in weights[1:]]
        curve = [[RIDGE if i == j and i else 0.0 for j in range(width)] for i in range(width)]
        for row, outcome in zip(rows, outcomes, strict=True):
            total = sum(map(_times, row, weights))
            likely = 1 / (1 + math.exp(-max(min(total, 35.0), -35.0)))
            error, weigh = outcome - likely, max(likely * (1 - likely), 1e-6)
            for i, value in enumerate(row):
                slope[i] += error * value
                weighed, line = weigh * value, curve[i]
                for j in range(i, width):
                    line[j] += weighed * row[j]
        for i in range(width):
            for j in range(i):
                curve[i][j] = curve[j][i]
        step = _solved(curve, slope)
        weights = [weight + change for weight, change in zip(weights, step, strict=True)]
        if max(map(abs, step)) < 1e-6:
            break
    return weights


def chosen(scores: Sequence[tuple[float, bool, int]], harm: float) -> float:
    """Return the threshold that saves most and at which, as good as surely, no more than this share of calls is harmed.

    Each score is how likely the small model is to do, whether it did, and what going there saved (less than nothing
    where it did not).
    """
    ordered = sorted(scores, reverse=True)
    failed = saved = most = 0
    best = 1.0
    for place, (likely, did, saving) in enumerate(ordered):
        failed += not did
        saved += saving
        if failed + SURE * math.sqrt(failed) > harm * len(ordered):
            break
        # Between two that are equally likely no line can be drawn.
        if saved > most and (place + 1 == len(ordered) or ordered[place + 1][0] < likely):
            best, most = likely, saved
    return best


def _saved(example: Example) -> int:
    """Return what a call saved that went to the small model; where no cost is known, one more or one less did."""
    if example.small is None or example.large is None:
        return 1 if example.sufficed else -1
    return example.large - example.small if example.sufficed else -example.small


def _times(one: float, other: float) -> float:
    return one * other


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve a system of linear equations (Gauss, with the largest pivot)."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda place: abs(rows[place][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        top = rows[column]
        if abs(top[column]) < 1e-12:
            continue
        for row in rows[column + 1 :]:
            factor = row[column] / top[column]
            if factor:
                for place in range(column, size + 1):
                    row[place] -= factor * top[place]
    solution = [0.0] * size
    for place in range(size - 1, -1, -1):
        row = rows[place]
        if abs(row[place]) >= 1e-12:
            solution[place] = (row[size] - sum(map(_times, row[place + 1 : size], solution[place + 1 :]))) / row[place]
    return solution


def _scaling(traits: Sequence[Sequence[int]]) -> tuple[list[float], list[float]]:
    columns = list(zip(*traits, strict=True))
    means = [sum(column) / len(column) for column in columns]
    scales = [
        math.sqrt(sum((value - mean) ** 2 for value in column) / len(column)) or 1.0
        for column, mean in zip(columns, means, strict=True)
    ]
    return means, scales


def _scaled(traits: Sequence[int], means: Sequence[float], scales: Sequence[float]) -> list[float]:
    return [(trait - mean) / scale for trait, mean, scale in zip(traits, means, scales, strict=True)]


def _report(held_out: Sequence[Example], sent: Sequence[bool], trained_on: int) -> Report:
    count = len(held_out) or 1
    pairs = list(zip(held_out, sent, strict=True))
    priced = [(each, to) for each, to in pairs if each.small is not None and each.large is not None]
    whole = sum(each.large or 0 for each, _ in priced)
    sufficed = sum(each.sufficed for each in held_out) / count
    # A call that the small model fails costs both: whoever asked, asks again.
    paid = sum((each.small or 0) + (0 if each.sufficed else each.large or 0) for each, to in priced if to)
    paid += sum(each.large or 0 for each, to in priced if not to)
    least = sum(min(each.small or 0, each.large or 0) if each.sufficed else each.large or 0 for each, _ in priced)
    return Report(
        held_out=len(held_out),
        trained_on=trained_on,
        sufficed=sufficed,
        small=sum(sent) / count,
        harm=sum(to and not each.sufficed for each, to in pairs) / count,
        accuracy=sum(to == each.sufficed for each, to in pairs) / count,
        baseline=max(sufficed, 1 - sufficed) if held_out else 0.0,
        saving=(whole - paid) / whole if whole else None,
        most=(whole - least) / whole if whole else None,
        copies=sum(each.source == "copies" for each in held_out),
        calls=sum(each.source == "calls" for each in held_out),
        labels=sum(each.source == "labels" for each in held_out),
        since_ms=held_out[0].time_ms if held_out else 0,
        until_ms=held_out[-1].time_ms if held_out else 0,
    )


def _pair(record: Record, small: str, large: Sequence[str]) -> tuple[bool, int | None, int | None] | None:
    """Return whether the small model did, and what either costs, of a copy; None where that cannot be said."""
    told = record.compared
    if told is None or told.shadow is None or record.end != "served" or told.same_finish is None:
        return None
    if record.target == small and told.caller.target in large:
        return _alike(told), told.shadow.cost_nano_usd, told.caller.cost_nano_usd
    if told.caller.target == small and record.target in large:
        return _alike(told), told.caller.cost_nano_usd, told.shadow.cost_nano_usd
    return None


def _alike(told: Compared) -> bool:
    assert told.shadow is not None
    if not told.same_finish or not told.same_calls:
        return False
    shorter, longer = sorted((told.caller.characters or 0, told.shadow.characters or 0))
    return longer <= SHORT or longer <= ALIKE * shorter


def _who(record: Record) -> str | None:
    """Return who asked, where one can be told from the others of a key."""
    for kind in ("session", "customer", "user"):
        value = getattr(record, kind)
        if value is not None:
            return f"{record.key} {kind} {value}"
    return None


def _asked_again(records: Sequence[Record], model: str, small: str, large: Sequence[str]) -> set[str]:
    """Return the calls after which the same one asked again in the same form, or for a larger model."""
    by_who: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda each: each.time_ms):
        who = _who(record)
        if who is not None and record.shadow_of is None:
            by_who[who].append(record)
    bare = {name.partition("/")[2] for name in large}
    again: set[str] = set()
    for asked in by_who.values():
        for place, record in enumerate(asked):
            if record.model != model or record.target != small:
                continue
            for later in asked[place + 1 :]:
                if later.time_ms - record.time_ms > AGAIN_MS:
                    break
                same = later.model == model and later.traits is not None and later.traits == record.traits
                if same or later.model in large or later.model in bare:
                    again.add(record.id)
                    break
    return again


def _ratio(records: Sequence[Record], model: str, small: str, large: Sequence[str]) -> float | None:
    """Return how many times as much a call costs at the large model: by copies, or by tokens of calls at both."""
    pairs = [pair for record in records if record.compared is not None and (pair := _pair(record, small, large))]
    ratios = [cost / other for _, other, cost in pairs if cost and other]
    if ratios:
        return median(ratios)
    rates: dict[bool, list[float]] = {True: [], False: []}
    for record in records:
        ours = record.model == model and (record.target == small or record.target in large)
        if ours and record.usage is not None and record.cost_nano_usd and record.usage.total:
            rates[record.target == small].append(record.cost_nano_usd / record.usage.total)
    return median(rates[False]) / median(rates[True]) if rates[True] and rates[False] else None
