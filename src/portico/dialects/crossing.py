"""What crosses from one dialect to another, and what becomes of what cannot: the table, and those who read it.

`crossing.toml` has a row for each feature: what it is, and for each dialect that cannot say it whether it is dropped
(the call goes on, and the reply names it in `x-portico-dropped`) or refused. A dialect that a row does not name can.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from portico.dialects.registry import SPOKEN
from portico.errors import InvalidRequest
from portico.ir import Extra, Request
from portico.types import Dialect


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that not every dialect can say. `param` is the field of a request that it is about."""

    what: str
    why: str = ""
    param: str | None = None
    drop: tuple[Dialect, ...] = ()
    refuse: tuple[Dialect, ...] = ()


def load(text: str) -> dict[str, Feature]:
    """Read a table; raises msgspec.ValidationError for a row that is not one."""
    return msgspec.convert(tomllib.loads(text), dict[str, Feature])


FEATURES: Mapping[str, Feature] = MappingProxyType(
    load(Path(__file__).with_name("crossing.toml").read_text(encoding="utf-8"))
)


def fate_of(name: str, dialect: Dialect) -> Literal["drop", "refuse"] | None:
    """Return what becomes of a feature in a dialect; None where it can be said there.

    The table has it, or the dialect's own `loses`.
    """
    feature = FEATURES[name]
    if dialect in feature.refuse:
        return "refuse"
    return "drop" if dialect in feature.drop else SPOKEN[dialect].loses.get(name)


_IDLE: Mapping[str, Any] = MappingProxyType(
    {
        "logprobs": False,
        "top_logprobs": 0,
        "logit_bias": {},
        "metadata": {},
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "repetition_penalty": 1,
        "min_p": 0,
        "verbosity": "medium",
        "safety": [],
    }
)
_STORED = ("previous_response_id", "conversation", "prompt", "cachedContent")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a request is written for: the model, the dialect that its provider speaks, and its row's quirks."""

    model: str
    dialect: Dialect
    quirks: frozenset[str] = frozenset()


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a reply needs that no provider said: the call's id, the time (epoch seconds), ids in a dialect's own form.

    `new_id("chatcmpl-")` returns an id with this prefix, another one at each call.
    """

    request_id: str
    created: int
    new_id: Callable[[str], str]


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """An error as a provider told it. `code` is its own word for the kind; `retry_after` is in seconds."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    request_id: str | None = None
    retry_after: float | None = None


class Notes:
    """Takes down what is lost on the way into one dialect. `strict` refuses whatever would be dropped.

    `title` is what the provider speaks, for people: the dialect's own where it is not given.
    """

    __slots__ = ("dialect", "dropped", "strict", "title")

    def __init__(self, dialect: Dialect, *, strict: bool = False, title: str | None = None) -> None:
        self.dialect = dialect
        self.title = title or TITLES[dialect]
        self.strict = strict
        self.dropped: list[str] = []

    def __repr__(self) -> str:
        return f"<Notes for {self.dialect}: {self.dropped}>"

    def one_text(self, request: Request) -> None:
        """Note what of the answers cannot be, where a request can have one answer, of text alone."""
        if request.n is not None and request.n > 1:
            self.lost("n")
        for kind in request.modalities:
            if kind != "text":
                name = f"output_{kind}"
                if name in FEATURES:
                    self.lost(name)
                else:
                    self.lost("field", f"an answer as {kind!r}")

    def unknown(self, extra: Extra) -> None:
        """Note fields that only the caller's own API knows; what leans on something stored there is refused."""
        if extra:
            stored = [name for name in _STORED if extra.get(name)]
            if stored:
                self.lost("stored_context", ", ".join(stored))
            unknown = [name for name, value in extra.items() if value and name[:1] != "$"]
            if unknown:
                self.lost("field", ", ".join(unknown))

    def lost(self, name: str, detail: str = "") -> None:
        """Note that a feature of the table cannot be said here; raises InvalidRequest where it is to be refused.

        `detail` says which one it was (a tool's name), for the message.
        """
        feature = FEATURES[name]
        fate = fate_of(name, self.dialect)
        assert fate is not None, f"{name} is not in the table for {self.dialect}"
        if self.strict or fate == "refuse":
            shown = f" ({detail})" if detail else ""
            because = f": {feature.why}" if feature.why else ""
            raise InvalidRequest(
                f"{feature.what}{shown} cannot be passed on to a provider that speaks {self.title}{because}",
                param=feature.param,
            )
        if name not in self.dropped:
            self.dropped.append(name)


class Unsaid:
    """The fields of a request that a dialect has no words for, each a feature of the table under its own name."""

    __slots__ = ("_names", "_silent", "_values")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._values: Callable[[Request], tuple[Any, ...]] = attrgetter(*self._names)
        self._silent = (None,) * len(self._names)

    def note(self, request: Request, notes: Notes) -> None:
        """Note what a request asks for: a provider that lacks it would do otherwise."""
        values = self._values(request)
        if values == self._silent:
            return
        for name, value in zip(self._names, values, strict=True):
            if value is not None and (name not in _IDLE or value != _IDLE[name]):
                notes.lost(name)


TITLES: Mapping[Dialect, str] = MappingProxyType({dialect: spoken.title for dialect, spoken in SPOKEN.items()})
"""Their names, for people."""
