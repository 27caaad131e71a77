"""A scorer: says of a call, by its traits, how likely a small model is to do. Trained by `portico complexity train`.

It is a file of numbers that a gateway reads when its configuration is put in force: bounded, of a known version, and
whole (it has a digest of itself). It has the report of how it did on calls that it was not trained by, and is not used
where that misses what the configuration demands of it.
"""

from collections.abc import Callable, Sequence
from math import exp, inf, isfinite, log
from operator import mul, truediv
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from portico.config import schema
from portico.errors import ConfigError
from portico.hashing import blake2b
from portico.plan.traits import NAMES, VERSION

FORMAT: Final = 1
LARGEST: Final = 64 * 1024
"""Bytes of a scorer's file."""
NEAR: Final = 1e-9
"""What a sum may be off by, which is rounded otherwise than the one that the threshold is of."""
Share = Annotated[float, Meta(ge=0, le=1)]


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a scorer did on the newest calls, which neither it nor its threshold was chosen by.

    `sufficed` is the share of the calls for which the small model did; `small` that of those sent to it; `harm` that of
    those sent to it for which it did not; `accuracy` that of those sent where they belong, and `baseline` what always
    saying the more frequent would have. `saving` is the share of the cost of sending all to the large one, `most` what
    no mistake would have saved; both None where no cost is known. `copies`, `calls` and `labels` say where the answers
    were from. Times are milliseconds since the epoch.
    """

    held_out: Annotated[int, Meta(ge=0)]
    trained_on: Annotated[int, Meta(ge=0)]
    sufficed: Share
    small: Share
    harm: Share
    accuracy: Share
    baseline: Share
    saving: float | None
    most: float | None
    copies: int = 0
    calls: int = 0
    labels: int = 0
    since_ms: int = 0
    until_ms: int = 0


class Scorer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A logistic regression over traits. `threshold` is from which likelihood on a call goes to the small model."""

    format: int
    traits: int
    names: tuple[str, ...]
    model: str
    small: str
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: Share
    report: Report
    digest: str = ""

    def likelihood(self, traits: Sequence[int]) -> float:
        """Return how likely the small model is to do."""
        return self.likely()(traits)

    def likely(self) -> Callable[[Sequence[int]], float]:
        """Return what says so of traits, weighed beforehand."""
        factors, start = self._factors()

        def likelihood(traits: Sequence[int]) -> float:
            total = sum(map(mul, traits, factors), start)
            return 1 / (1 + exp(-total)) if total > -700 else 0.0

        return likelihood

    def line(self) -> Callable[[Sequence[int]], bool]:
        """Return what says of traits whether their call goes to the small model: `likelihood` without its curve."""
        factors, start = self._factors()
        share = self.threshold
        edge = log(share / (1 - share)) if 0 < share < 1 else inf if share else -inf
        # The threshold is the likelihood of some call, which is on this side of it whatever was rounded.
        start += NEAR - edge
        return lambda traits: sum(map(mul, traits, factors), start) >= 0

    def _factors(self) -> tuple[tuple[float, ...], float]:
        """Return what each trait is multiplied by, and what their sum begins with."""
        factors = tuple(map(truediv, self.weights, self.scales))
        return factors, self.bias - sum(map(mul, self.means, factors))


def sealed(scorer: Scorer) -> Scorer:
    """Return a scorer with the digest of what it is."""
    return msgspec.structs.replace(scorer, digest=_digest(scorer))


def read(path: Path | str, wanted: schema.Complexity, model: str | None, small: str | None) -> Scorer:
    """Return the scorer of a file. Raises ConfigError where it is none, or does not meet what is demanded of it.

    `small` is the target that it is to send calls of `model` to; None for both where only rules ask it.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"the scorer {str(path)!r} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise ConfigError(f"the scorer {str(path)!r} has more than {LARGEST} bytes")
    try:
        found = msgspec.json.decode(data, type=Scorer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"the scorer {str(path)!r} is none: {error}") from None
    why = _broken(found) or _unlike(found, model, small) or missed(found.report, wanted)
    if why is not None:
        raise ConfigError(f"the scorer {str(path)!r} is not used: {why}")
    return found


def missed(report: Report, wanted: schema.Complexity) -> str | None:
    """Return what of what is demanded a report misses, in words; None where it meets all."""
    if report.held_out < wanted.calls:
        return f"it was tried on {report.held_out} calls, and {wanted.calls} are demanded"
    if report.accuracy < wanted.accuracy:
        return f"its accuracy was {report.accuracy:.1%}, and {wanted.accuracy:.1%} is demanded"
    if report.harm > wanted.harm:
        return f"it sent {report.harm:.1%} of calls to a model too small for them, and {wanted.harm:.1%} is the most"
    if report.saving is None:
        return "nobody knows what it saves: the calls that it was tried on have no cost"
    if report.saving < wanted.saving:
        return f"it saved {report.saving:.1%}, and {wanted.saving:.1%} is demanded"
    return None


def wrong_scorers(config: schema.Config) -> list[tuple[tuple[str | int, ...], str]]:
    """Return where a configuration has scorers that cannot be used, and why."""
    wrong: list[tuple[tuple[str | int, ...], str]] = []
    try:
        scorer_of_all(config.routing)
    except ConfigError as error:
        wrong.append((("routing", "complexity", "scorer"), error.message))
    for name, model in config.models.items():
        if model.complexity.scorer is not None:
            try:
                scorer_of(model, name)
            except ConfigError as error:
                wrong.append((("models", name, "complexity", "scorer"), error.message))
    return wrong


def scorer_of(model: schema.Model, name: str) -> Scorer | None:
    """Return the scorer of a name, None where it has none. Raises ConfigError."""
    wanted = model.complexity
    if wanted.scorer is None:
        return None
    if model.strategy != "complexity":
        return read(wanted.scorer, wanted, None, None)
    return read(wanted.scorer, wanted, name, model.targets[0].model)


def scorer_of_all(routing: schema.Routing) -> Scorer | None:
    """Return the scorer that rules ask of calls whose name has none of its own, None for none. Raises ConfigError."""
    wanted = routing.complexity
    return None if wanted.scorer is None else read(wanted.scorer, wanted, None, None)


def _broken(found: Scorer) -> str | None:
    if found.format != FORMAT or found.traits != VERSION or found.names != tuple(NAMES):
        return f"it is of another version (traits {found.traits}, and these are {VERSION}); train it anew"
    numbers = (*found.means, *found.scales, *found.weights, found.bias)
    if not all(len(each) == len(NAMES) for each in (found.means, found.scales, found.weights)):
        return "it has too few numbers, or too many"
    if not all(isfinite(number) and abs(number) < 1e9 for number in numbers) or min(found.scales) <= 0:
        return "its numbers are out of all reason"
    if found.digest != _digest(found):
        return "it is not as it was written; train it anew"
    return None


def _unlike(found: Scorer, model: str | None, small: str | None) -> str | None:
    if model is not None and (found.model, found.small) != (model, small):
        return f"it was trained for {found.model!r} with {found.small!r} as the small model"
    return None


def _digest(scorer: Scorer) -> str:
    bare = msgspec.structs.replace(scorer, digest="")
    return blake2b(msgspec.json.encode(bare), digest_size=16).hexdigest()
