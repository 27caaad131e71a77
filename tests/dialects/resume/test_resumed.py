"""Recorded streams cut at every event and inside events, and gone on with: one answer, nothing twice, nothing lost."""

import collections
import random
from collections.abc import Iterator

import pytest
from tests.dialects.resume.dying import DIALECTS, MANNERS, Recording, heard, recordings, resumed

from portico.types import Dialect

EACH = {"chat": 44, "responses": 44, "messages": 44, "gemini": 40, "converse": 20, "cohere": 8}
"""Recordings of each dialect under the long proof: 200."""


def sample(dialect: Dialect, count: int, draw: random.Random) -> list[Recording]:
    able = recordings(dialect)
    return draw.sample(able, min(count, len(able)))


def cuts(recording: Recording, draw: random.Random) -> Iterator[list[bytes]]:
    """Cut behind each event, and somewhere inside each."""
    for at in range(1, len(recording.pieces) + 1):
        yield list(recording.pieces[:at])
        last = recording.pieces[at - 1]
        if len(last) > 1:
            yield [*recording.pieces[: at - 1], last[: draw.randrange(1, len(last))]]


def check(
    recording: Recording, cut: list[bytes], caller: Dialect, seen: "collections.Counter[str]", draw: random.Random
) -> None:
    second, manner = draw.choice(DIALECTS), draw.choice(MANNERS)
    outcome = resumed(recording, caller, cut, second, manner, draw)
    case = f"{recording.id} {recording.dialect} to {caller}, then {second} {manner}, after {len(cut)} pieces"
    seen[outcome.state] += 1
    if outcome.ambiguous:
        seen["ambiguous"] += 1
        return
    told = heard(caller, (outcome.out,))
    if outcome.state == "never":
        assert told is None or told.finished is None, case
        return
    assert told is not None, case
    assert told.text == recording.text, case
    assert told.finished is not None, case


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_answer_that_was_cut_is_joined(dialect: Dialect) -> None:
    draw = random.Random(6)  # no secrets
    seen: collections.Counter[str] = collections.Counter()
    for recording in sample(dialect, 7, draw):
        for cut in draw.sample(found := list(cuts(recording, draw)), min(12, len(found))):
            check(recording, cut, draw.choice(DIALECTS), seen, draw)
    assert seen["text"] > 20


@pytest.mark.prove
@pytest.mark.parametrize("dialect", DIALECTS)
def test_two_hundred_recordings_are_joined_wherever_they_are_cut(dialect: Dialect) -> None:
    draw = random.Random(7)  # no secrets
    seen: collections.Counter[str] = collections.Counter()
    for recording in sample(dialect, EACH[dialect], draw):
        for cut in cuts(recording, draw):
            for caller in DIALECTS:
                check(recording, cut, caller, seen, draw)
    print(dialect, dict(seen))
    assert seen["text"] > 1000
    assert seen["ambiguous"] < 0.05 * seen["text"]
