"""The proof of a crossing: put a recorded call through a translation, and compare the facts of both sides."""

import random
from collections.abc import Callable, Iterable

from tests.dialects.crossing import compare, declared, pairs
from tests.dialects.crossing.pairs import Record

from portico.dialects.crossing import FEATURES
from portico.dialects.free_text import HAVE_THEM
from portico.errors import InvalidRequest
from portico.types import Dialect

Check = Callable[[Dialect, Dialect, Record], list[str] | None]
"""Returns how the sides differ, None where the call was refused by the table."""

LONG = 10_000
"""Streams beyond this many bytes are not cut into single bytes in a sample: there are enough below it."""


def request(caller: Dialect, provider: Dialect, record: Record) -> list[str] | None:
    """Compare a recorded request with what goes to a provider."""
    try:
        translation = pairs.put(pairs.question(caller, record), provider)
    except InvalidRequest as error:
        return None if by_the_table(error, provider) else [f"refused, and by no row: {error}"]
    body = record["request"]["body"]
    told, arrived = pairs.READERS[caller].request(body), pairs.arrived(provider, translation.body)
    arrived = declared.untold(caller, provider, body, arrived)
    told = told if caller == provider else declared.renamed(provider, told)
    if caller in HAVE_THEM and provider != caller and provider != "responses":
        # Tools of free text are functions there, as `test_free_text` has it.
        free = {
            (each.get("custom") or each).get("name") for each in body.get("tools") or [] if each.get("type") == "custom"
        }
        told, arrived = ([fact for fact in facts if fact[1] not in free] for facts in (told, arrived))
    return compare.questions(caller, provider, told, arrived, translation.dropped)


def by_the_table(error: InvalidRequest, provider: Dialect) -> bool:
    """Return whether a refusal is one of a row that refuses for this dialect."""
    rows = [row for row in FEATURES.values() if provider in row.refuse and error.message.startswith(row.what)]
    return bool(rows) and "cannot be passed on" in error.message


def reply(caller: Dialect, provider: Dialect, record: Record) -> list[str]:
    """Compare a recorded reply with what its caller gets."""
    body = pairs.body_of(record)
    translation = pairs.put(pairs.plain(caller, stream=False), provider)
    arrived = pairs.facts(caller, translation.reply(body), stream=False)
    return compare.answers(caller, provider, pairs.facts(provider, body, stream=False), arrived)


def stream(caller: Dialect, provider: Dialect, record: Record, sizes: Iterable[int | None] = (-1,)) -> list[str]:
    """Compare a recorded stream, cut in several ways, with what its caller gets; one without an end fails."""
    told = pairs.facts(provider, pairs.body_of(record), stream=True)
    broken = pairs.broken(provider, record)
    first: bytes | None = None
    for size in sizes:
        translation, out = pairs.streamed(caller, provider, record, size)
        if broken:
            if translation.finished:
                return [f"at chunks of {size}: a stream without an end passed for a whole one"]
            continue
        if not translation.finished:
            return [f"at chunks of {size}: no end was seen: {translation.failed!r}"]
        if out == first:
            continue  # what was compared already
        found = compare.answers(caller, provider, told, pairs.facts(caller, out, stream=True))
        if found:
            return [f"at chunks of {size}: {each}" for each in found]
        first = out
    return []


def every_cut(caller: Dialect, provider: Dialect, record: Record) -> list[str]:
    """Compare a stream as it was recorded and in pieces of 7 bytes and of 1; a long one not in pieces of 1."""
    short = len(pairs.body_of(record)) <= LONG
    return stream(caller, provider, record, (-1, 7, 1) if short else (-1, 7))


def every_cut_however_long(caller: Dialect, provider: Dialect, record: Record) -> list[str]:
    """Compare a stream as it was recorded and in pieces of 7 bytes and of 1."""
    return stream(caller, provider, record, (-1, 7, 1))


def sample(caller: Dialect, provider: Dialect, records: Iterable[Record], size: int) -> list[Record]:
    """Pick records, always the same for a pair, with as many kinds of content as there are."""
    every = list(records)
    seeded = random.Random(f"{caller} {provider}")  # to pick cases, not secrets
    return seeded.sample(every, min(size, len(every)))
