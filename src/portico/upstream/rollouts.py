"""Canaries of this machine: what they and the others did, counted by all workers in one small file for each.

Every worker counts in a lane of its own and reads those of all. Now and then whoever has just counted decides, by
`plan.rollout`: all would decide the same, and a lock lets one write. So a canary goes on, or is taken back, without
control, and stays where it is over restarts. What is declared otherwise than before begins anew.
"""

import contextlib
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

from portico.config import schema
from portico.hashing import blake2b
from portico.plan.rollout import BUCKETS, Arm, Decision, bucket, decide
from portico.upstream.progress import Progress
from portico.upstream.shared import BOOT, hashed

LANES: Final = 16
BACK: Final = 1 << 32
"""The step of a canary that was taken back."""
EVERY: Final = 1.0
"""Seconds between two decisions of one worker."""
_BOOT_WORD, _STEP, _SINCE, _LAST, _HEAD = 0, 1, 2, 3, 8
_ARM: Final = 2 + BUCKETS
_LANE: Final = 1 + 3 * _ARM
_WORDS: Final = _HEAD + LANES * _LANE

Lock = Callable[[], contextlib.AbstractContextManager[None]]
Note = Callable[[str, dict[str, str | int | float | bool | None]], None]
"""Told the name of an event, and what it is about."""


class Rollout:
    """One canary. `words` are the shared counts; `lock` keeps two workers from deciding at once."""

    def __init__(
        self,
        name: str,
        said: schema.Canary,
        words: memoryview,
        lane: int,
        note: Note,
        clock: Callable[[], float],
        lock: Lock,
    ) -> None:
        self.name = name
        self.said = said
        self._words = words
        self._lane = _HEAD + lane * _LANE
        self._note = note
        self._clock = clock
        self._lock = lock
        self._due = 0.0

    def __repr__(self) -> str:
        return f"<Rollout of {self.name!r} at {self.share:.0%}>"

    @property
    def step(self) -> int:
        """The place in `steps`; their number where all are done, `BACK` where it was taken back."""
        return int(self._words[_STEP])

    @property
    def share(self) -> float:
        """The share of calls that it gets now."""
        step, steps = self._words[_STEP], self.said.steps
        return 0.0 if step == BACK else steps[min(step, len(steps) - 1)]

    def count(self, *, chosen: bool, failed: bool, took: float | None) -> None:
        """Count a call, and decide when it is time to."""
        words, lane, step = self._words, self._lane, self._words[_STEP]
        if words[lane] != step + 1:
            self._turn(lane, step + 1)
        place = lane + 1 + (0 if chosen else _ARM)
        words[place] += 1
        if failed:
            words[place + 1] += 1
        elif took is not None:
            words[place + 2 + bucket(took)] += 1
        now = self._clock()
        if now >= self._due:
            self._due = now + EVERY
            self.decide(now)

    def decide(self, now: float) -> Decision | None:
        """Decide what is to become of the canary; None where that is decided for good."""
        step = self.step
        if step >= len(self.said.steps):
            return None
        decision = self._decision(now, step)
        if decision.verdict == "hold":
            return decision
        with self._lock():
            if self.step != step:
                return decision  # another worker was faster
            canary, others = self.counted()
            self._words[_STEP] = BACK if decision.verdict == "back" else step + 1
            self._words[_SINCE] = int(now * 1e9)
            self._words[_LAST] = step
        self._tell(decision, canary, others)
        return decision

    def counted(self) -> tuple[Arm, Arm]:
        """Return what the canary did in this step, and the others; in the one before too, where it has all calls.

        Of one that was taken back, what it did in its last step.
        """
        words = self._words.tolist()
        mark = (words[_STEP] if words[_STEP] != BACK else words[_LAST]) + 1
        canary, others, before = [0] * _ARM, [0] * _ARM, [0] * _ARM
        for lane in range(_HEAD, _WORDS, _LANE):
            if words[lane] == mark:
                _add(canary, words, lane + 1)
                _add(others, words, lane + 1 + _ARM)
                _add(before, words, lane + 1 + 2 * _ARM)
            elif words[lane] == mark - 1 and words[lane]:
                # This worker has had no call since the step.
                _add(before, words, lane + 1 + _ARM)
        if self.share >= 1.0:
            _add(others, before, 0)
        return Arm(canary[0], canary[1], canary[2:]), Arm(others[0], others[1], others[2:])

    def progress(self) -> Progress:
        """Return how far it is, and by what it is judged."""
        now, step = self._clock(), self.step
        canary, others = self.counted()
        since = now - self._words[_SINCE] / 1e9
        if step == BACK:
            return Progress("back", step, 0.0, since, canary, others, self._decision(now, step).why)
        if step >= len(self.said.steps):
            return Progress("done", step, self.share, since, canary, others, "it has held at every step")
        return Progress("rising", step, self.share, since, canary, others, self._decision(now, step).why)

    def _decision(self, now: float, step: int) -> Decision:
        held = now - self._words[_SINCE] / 1e9
        canary, others = self.counted()
        return decide(self.said, held, canary, others)

    def _turn(self, lane: int, mark: int) -> None:
        """Begin a lane anew for another step; what the others did in the last one is kept beside."""
        words = self._words
        last = lane + 1 + _ARM
        kept = words[last : last + _ARM].tolist() if words[lane] == mark - 1 else [0] * _ARM
        for place in range(lane + 1, last + _ARM):
            words[place] = 0
        for index, count in enumerate(kept):
            words[last + _ARM + index] = count
        words[lane] = mark

    def _tell(self, decision: Decision, canary: Arm, others: Arm) -> None:
        step = self.step
        what = "taken_back" if step == BACK else "done" if step >= len(self.said.steps) else "stepped"
        self._note(
            f"canary.{what}",
            {
                "model": self.name,
                "to": self.said.to,
                "share": self.share,
                "calls": canary.calls,
                "failed": canary.failed,
                "others_calls": others.calls,
                "others_failed": others.failed,
                "why": decision.why,
            },
        )


class Rollouts:
    """The canaries of a configuration, and of those before it. Without a `folder` nothing is shared or kept."""

    def __init__(
        self, folder: Path | None, note: Note, lane: int | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._folder = folder
        self._note = note
        self._lane = lane
        self._clock = clock
        self._known: dict[str, Rollout] = {}

    def __repr__(self) -> str:
        return f"<Rollouts of {len(self._known)} canaries>"

    def __call__(self, name: str, said: schema.Canary, /) -> Rollout:
        """Return the rollout of a canary; the same one for the same name, for as long as it is declared so."""
        mark = mark_of(name, said)
        found = self._known.get(mark)
        if found is None:
            words, lane, lock = self._opened(mark)
            found = Rollout(name, said, words, lane, self._note, self._clock, lock)
            self._known[mark] = found
            self._begin(words, lock)
        return found

    def _opened(self, mark: str) -> tuple[memoryview, int, Lock]:
        if self._folder is None:
            return memoryview(bytearray(8 * _WORDS)).cast("Q"), 0, contextlib.nullcontext
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, 8 * _WORDS)  # a full disk would be a signal later, not an error
        else:
            os.ftruncate(descriptor, 8 * _WORDS)
        words = memoryview(mmap.mmap(descriptor, 8 * _WORDS)).cast("Q")

        @contextlib.contextmanager
        def locked() -> Iterator[None]:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

        return words, self._lane if self._lane is not None else claimed(descriptor), locked

    def _begin(self, words: memoryview, lock: Lock) -> None:
        """Begin to count the time of a step that is new, or that another run of the machine began."""
        boot = hashed(BOOT.read_text() if BOOT.exists() else "")
        if words[_BOOT_WORD] != boot:
            with lock():
                if words[_BOOT_WORD] != boot:
                    words[_SINCE] = int(self._clock() * 1e9)
                    words[_BOOT_WORD] = boot


def standing(folder: Path | None, name: str, said: schema.Canary) -> Rollout:
    """Return a rollout as it stands, for who only looks: at its first step where nobody has begun it."""
    words = memoryview(bytearray(8 * _WORDS)).cast("Q")
    words[_SINCE] = int(monotonic() * 1e9)
    with contextlib.suppress(FileNotFoundError):
        data = (folder / mark_of(name, said)).read_bytes() if folder is not None else b""
        if len(data) == 8 * _WORDS:
            words = memoryview(bytearray(data)).cast("Q")
    return Rollout(name, said, words, 0, lambda _name, _about: None, monotonic, contextlib.nullcontext)


def mark_of(name: str, said: schema.Canary) -> str:
    """Return what a canary is kept under: another one for whatever is declared otherwise."""
    return blake2b(name.encode() + b"\0" + msgspec.json.encode(said), digest_size=16).hexdigest()


def claimed(descriptor: int) -> int:
    """Return a lane that no other process has, for as long as this one lives; where all are taken, any."""
    for lane in range(LANES):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, lane)
        except OSError:
            continue
        return lane
    return os.getpid() % LANES


def _add(sums: list[int], words: list[int], place: int) -> None:
    for index in range(_ARM):
        sums[index] += words[place + index]
