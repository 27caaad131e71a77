"""Where prompts are cached: which target each conversation was last at, and how much of it is kept there.

A small file that all workers of a machine have mapped, made when something first counts on it. A row is the hash of a
conversation (or of its instructions and tools), half a target's mark, tokens, and until when; it stands in one of the
four places that its hash gives it, in that of the row that ends first. Rows are written word by word, by any worker,
and what two of them mix up is a preference for a target, no more.
"""

import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from portico.plan.candidate import LOW, mark_of
from portico.providers.prompt_caches import HOUR, PROMPT_CACHES, USUAL
from portico.types import Usage
from portico.upstream.shared import mapped

if TYPE_CHECKING:
    from portico.plan.conversation import Conversation

SETS: Final = 4096
WAYS: Final = 4
_HEAD: Final = 2
_ROW: Final = 3
LEARNS: Final = 0.25
"""How much one reply counts in what a target is trusted to have kept."""
LEAST_TRUST: Final = 0.05
"""A target that keeps less of what it should is not counted on."""
MOST_TRUSTED: Final = 4096


class Row(NamedTuple):
    """What is known of a conversation: half the mark of its target, tokens that are kept there, until when."""

    mark: int
    tokens: int
    until: float


class Kept:
    """What is to be remembered of one call once it has been served.

    `expected` are the tokens that each target was thought to have cached, by its mark; `kinds` the catalog's rows of
    providers, by their names.
    """

    __slots__ = ("_caches", "_expected", "_kinds", "conversation")

    def __init__(
        self,
        caches: "Caches",
        conversation: "Conversation",
        expected: Mapping[int, int] | None,
        kinds: Mapping[str, str],
    ) -> None:
        self.conversation = conversation
        self._caches = caches
        self._expected = expected
        self._kinds = kinds

    def __repr__(self) -> str:
        return f"<Kept {self.conversation.id:016x}>"

    @property
    def turn(self) -> int:
        """A number that is the same for all calls of the conversation."""
        return self.conversation.id

    def served(self, target: str, usage: Usage) -> None:
        """Note where it was served, and what that leaves in the cache."""
        expected = self._expected.get(mark_of(target) & LOW, 0) if self._expected is not None else 0
        provider = target.partition("/")[0]
        self._caches.note(self.conversation, target, self._kinds.get(provider, provider), usage, expected)


class Caches:
    """What the workers of a machine know of prompt caches; `path` is the file that they share, None for one alone."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._path = path
        self._clock = clock
        self._map: mmap.mmap | None = None
        self._words: memoryview | None = None
        self._trust: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<Caches {self._path or 'of this process'}>"

    def close(self) -> None:
        """Let the file go."""
        if self._words is not None:
            self._words.release()
            self._words = None
        if self._map is not None:
            self._map.close()
            self._map = None

    def find(self, key: int) -> Row | None:
        """Return what is known of a conversation or of a stem; None where that has ended."""
        words = self._words if self._words is not None else self._opened()
        place = _HEAD + key % SETS * (WAYS * _ROW)
        rows = words[place : place + WAYS * _ROW].tolist()
        for at in range(0, WAYS * _ROW, _ROW):
            if rows[at] == key:
                until = rows[at + 2] / 1e9
                what = rows[at + 1]
                return Row(what >> 32, what & LOW, until) if until > self._clock() else None
        return None

    def expected(self, conversation: "Conversation") -> tuple[int | None, dict[int, int] | None]:
        """Return the target that has a conversation's prompt, and how many tokens of it each is expected to have.

        Targets go by the lower half of their marks; None where nothing is known.
        """
        own = self.find(conversation.id)
        stem = self.find(conversation.stem) if conversation.stem else None
        if own is None and stem is None:
            return None, None
        found: dict[int, int] = {}
        if stem is not None:
            found[stem.mark] = min(stem.tokens, conversation.stem_tokens)
        if own is not None:
            found[own.mark] = max(own.tokens, found.get(own.mark, 0))
        if self._trust:
            for mark, tokens in found.items():
                trust = self._trust.get(mark, 1.0)
                found[mark] = int(tokens * trust) if trust >= LEAST_TRUST else 0
        return own.mark if own is not None else None, found

    def note(self, conversation: "Conversation", target: str, kind: str, usage: Usage, expected: int) -> None:
        """Note that a target of a provider of this kind has served a turn, and so has its prompt now."""
        mark = mark_of(target) & LOW
        if expected or (usage.cache_read and mark in self._trust):
            if len(self._trust) >= MOST_TRUSTED:
                self._trust.clear()  # callers choose names
            trust = self._trust.get(mark, 1.0)
            share = min(usage.cache_read / expected * trust, 1.0) if expected else 1.0
            self._trust[mark] = trust + LEARNS * (share - trust)
        cache = PROMPT_CACHES.get(kind)
        told = usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
        tokens = told if cache is None or cache.marked else usage.input_total
        least = cache.least if cache is not None else 1
        if tokens < least:
            return
        seconds = cache.seconds if cache is not None else USUAL
        if conversation.extended and cache is not None and cache.extended:
            seconds = cache.extended
        if usage.cache_write_1h > usage.cache_write_5m:
            seconds = max(seconds, HOUR)
        until = self._clock() + seconds
        self._put(conversation.id, mark, tokens, until)
        if conversation.stem and conversation.stem_tokens >= least:
            self._put(conversation.stem, mark, min(tokens, conversation.stem_tokens), until)

    def _put(self, key: int, mark: int, tokens: int, until: float) -> None:
        words = self._words if self._words is not None else self._opened()
        place = _HEAD + key % SETS * (WAYS * _ROW)
        rows = words[place : place + WAYS * _ROW].tolist()
        best = 0
        for at in range(0, WAYS * _ROW, _ROW):
            if rows[at] == key:
                best = at
                break
            if rows[at + 2] < rows[best + 2]:
                best = at
        place += best
        words[place + 1] = mark << 32 | min(tokens, LOW)
        words[place] = key
        words[place + 2] = int(until * 1e9)

    def _opened(self) -> memoryview:
        count = _HEAD + SETS * WAYS * _ROW
        if self._path is None:
            self._words = memoryview(bytearray(count * 8)).cast("Q")
        else:
            self._map, self._words = mapped(self._path, count)
        return self._words
