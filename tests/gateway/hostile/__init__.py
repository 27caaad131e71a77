"""Requests that no decent caller sends, generated from a seed, each with what has to become of it.

A request that could be taken for a sound one bears the good key and the mark `hostile`, so that one which gets
through is seen at the provider. None of them may get there.
"""

import random
from collections.abc import Iterator

from gateway.hostile.draft import Case, Maker, Send, Step
from gateway.hostile.framing import (
    after_close,
    after_refusal,
    bad_chunks,
    bare_lines,
    expecting,
    floods,
    smuggled,
    too_large,
    upgrades,
)
from gateway.hostile.heads import (
    codings,
    cut_short,
    dripped,
    flipped,
    hosts,
    lengths,
    methods,
    noise,
    old_codings,
    other_protocols,
    silence,
    syntax,
    targets,
    too_many,
    twice_sized,
    versions,
)
from gateway.hostile.meaning import (
    bodies,
    coded,
    deaf,
    escapes,
    forms,
    keys,
    many_keys,
    narrow,
    queried_keys,
    two_keys,
    two_kinds,
)

MAKERS: tuple[tuple[float, Maker], ...] = (
    *((1.0, maker) for maker in (noise, other_protocols, flipped, cut_short, silence, dripped)),
    *((1.0, maker) for maker in (versions, methods, targets)),
    *((1.0, maker) for maker in (hosts, syntax, too_many, lengths, twice_sized, codings, old_codings)),
    *((1.0, maker) for maker in (bad_chunks, floods, too_large, expecting)),
    *((1.0, maker) for maker in (after_refusal, after_close, smuggled, bare_lines, escapes, narrow)),
    *((1.0, maker) for maker in (keys, queried_keys, two_keys)),
    *((2.0, maker) for maker in (bodies, forms)),
    *((0.5, maker) for maker in (many_keys, coded, two_kinds, upgrades)),
    (0.1, deaf),
)


def cases(seed: int, count: int, start: int = 0) -> Iterator[Case]:
    """Generate cases; one of them depends on nothing but the seed and its number."""
    weights = [weight for weight, _ in MAKERS]
    for number in range(start, start + count):
        rng = random.Random(f"{seed}/{number}")
        _, maker = rng.choices(MAKERS, weights)[0]
        yield case(maker, rng, number)


def case(maker: Maker, rng: random.Random, number: int) -> Case:
    """Generate one case, and cut what it sends into pieces."""
    draft = maker(rng)
    data = draft.data
    steps: list[Step] = []
    if draft.pace:
        steady = data[:-30]
        steps = [Send(steady), Send(data[len(steady) :], 1, draft.pace)]
    elif draft.whole or rng.random() < 0.4:
        steps = [Send(data)]
    elif len(data) < 600:
        steps = [Send(data, rng.choice((1, 7)))]
    else:
        steps = [Send(data, rng.choice((100, 1000, 7777)) if len(data) < 50_000 else 20_001)]
    if draft.end != "stay":
        steps.append(draft.end)
    replies = tuple(frozenset(statuses) for statuses in draft.replies)
    return Case(
        maker.__name__, number, tuple(steps), replies, len(steps) == 1 and not steps[0].size, draft.deaf, draft.waits
    )
