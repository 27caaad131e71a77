"""What the mock is told from outside the requests: what happens next, what happens now and then, and rate limits."""

import fnmatch
import random
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

import msgspec

from portico.errors import InvalidRequest
from portico.testing.controls import controls, pairs

Said = str | Mapping[str, str | int | float | bool] | None
KEPT = 10_000
WINDOW = 60.0


class Canned(msgspec.Struct, frozen=True):
    """A reply given as it is, chunk by chunk: a recording, or bytes made by hand."""

    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),)
    chunks: Sequence[bytes] = (b"{}",)
    length: int | None = None  # a declared Content-Length; None sends chunks


class _Rule(msgspec.Struct):
    said: dict[str, str]
    model: str | None
    one_in: int


def spoken(said: Said) -> dict[str, str]:
    """Return controls given as text (`status=429&retry_after=2`) or by name, checked.

    Raises InvalidRequest for a name that does not exist.
    """
    if said is None:
        return {}
    if isinstance(said, str):
        found = pairs(said)
    else:
        found = {
            name: ("true" if value else "false") if isinstance(value, bool) else str(value)
            for name, value in said.items()
        }
    controls(found)
    return found


class Script:
    """What is to happen, whatever the requests say.

    `next` queues steps: each is used by one call, in order; None is a call served as usual. `sometimes` rules are
    drawn for every call by a seeded source, the first that hits applies. `always` holds for every call.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311  # faults, not secrets
        self._steps: deque[tuple[dict[str, str] | Canned, str | None]] = deque()
        self._rules: list[_Rule] = []
        self._always: dict[str, str] = {}
        self._counts: OrderedDict[str, int] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Script {len(self._steps)} steps, {len(self._rules)} rules, always {self._always!r}>"

    def __call__(self, *steps: Said | Canned, model: str | None = None, times: int = 1) -> None:
        """Queue steps, as `next` does."""
        self.next(*steps, model=model, times=times)

    def next(self, *steps: Said | Canned, model: str | None = None, times: int = 1) -> None:
        """Queue steps for the calls to come, or for those whose model matches `model` (a glob)."""
        read = [step if isinstance(step, Canned) else spoken(step) for step in steps]
        for _ in range(times):
            self._steps.extend((step, model) for step in read)

    def sometimes(self, said: Said, one_in: int, model: str | None = None) -> None:
        """Let one in `one_in` calls be told this, by the script's seed."""
        if one_in < 1:
            raise InvalidRequest(f"one_in must be at least 1, not {one_in}")
        self._rules.append(_Rule(spoken(said), model, one_in))

    def always(self, said: Said) -> None:
        """Tell every call this from now on; None for no longer."""
        self._always = spoken(said)

    def clear(self) -> None:
        """Forget all of it, and begin the seed anew."""
        self._random.seed(self._seed)
        self._steps.clear()
        self._rules.clear()
        self._always = {}
        self._counts.clear()

    @property
    def left(self) -> int:
        """Steps not used yet."""
        return len(self._steps)

    def told(self, model: str) -> dict[str, str] | Canned:
        """Take what the script has for a call of this model."""
        if not self._steps and not self._rules:
            return self._always
        for place, (step, glob) in enumerate(self._steps):
            if glob is None or fnmatch.fnmatchcase(model, glob):
                del self._steps[place]
                return step if isinstance(step, Canned) else {**self._always, **step}
        for rule in self._rules:
            if rule.model is not None and not fnmatch.fnmatchcase(model, rule.model):
                continue
            if self._random.randrange(rule.one_in) == 0:
                return {**self._always, **rule.said}
        return self._always

    def happens(self, name: str, first: int | None, one_in: int | None) -> bool:
        """Whether a fault that a request asks for, under this name, happens at this call of it."""
        if first is not None:
            seen = self._counts.pop(name, 0)
            self._counts[name] = seen + 1
            if len(self._counts) > KEPT:
                self._counts.popitem(last=False)
            return seen < first
        return one_in is None or self._random.randrange(one_in) == 0


class RateLimits:
    """Calls in windows of a minute or a second, by a name. Bounded: the names longest unused are forgotten."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, name: str, most: int, now: float, window: float = WINDOW) -> tuple[int, float]:
        """Count a call; return how many are left after it (-1: refused) and the seconds until the window ends."""
        began, used = self._windows.pop(name, (now, 0))
        if now - began >= window:
            began, used = now, 0
        refused = used >= most
        self._windows[name] = (began, used if refused else used + 1)
        if len(self._windows) > KEPT:
            self._windows.popitem(last=False)
        return (-1 if refused else most - used - 1), began + window - now

    def clear(self) -> None:
        """Forget all windows."""
        self._windows.clear()
