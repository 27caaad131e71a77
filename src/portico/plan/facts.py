"""What a plan may know of a call: who asks, for what, and how large it is. What costs a look is read late."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar, cast

import msgspec

from portico.plan.health import size_class

if TYPE_CHECKING:
    from portico.plan.conversation import Conversation

TYPES: Final[Mapping[str, str]] = {
    "budget_left": "double",
    "complexity": "double",
    "customer": "string",
    "day": "string",
    "has_images": "bool",
    "has_tools": "bool",
    "headers": "map",
    "hour": "int",
    "input_tokens": "int",
    "json_schema": "bool",
    "key": "string",
    "max_tokens": "int",
    "minute": "int",
    "model": "string",
    "operation": "string",
    "org": "string",
    "reasoning": "bool",
    "region": "string",
    "session": "string",
    "stream": "bool",
    "tags": "map",
    "team": "string",
    "tier": "string",
    "user": "string",
}
"""What rules may speak of, and of which type; `map` is of text to text.

`tier` and `region` are the tags of these names; `hour`, `minute` and `day` (`mon` … `sun`) are UTC; `budget_left` is
the least share that is left of any budget, 1.0 where there is none; `complexity` is how likely a small model is not to
do, by the scorer that is asked.
"""

TYPICAL_OUTPUT: Final = 300
"""Tokens of an answer, where nothing says how long it will be."""
BYTES_PER_TOKEN: Final = 4
CACHEABLE: Final = 1024 * BYTES_PER_TOKEN
"""Bytes of a request below which hardly a provider caches its prompt."""
PICTURED: Final = 8192
"""Bytes of a request beyond which it is asked whether they are a picture's."""
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_IMAGE = re.compile(
    rb'"type"\s*:\s*"(?:image|image_url|input_image)"|"(?:inlineData|inline_data|fileData|file_data)"|"image"\s*:\s*{'
)
_ENCODED = re.compile(rb"[A-Za-z0-9+/]{256,}={0,2}")
_TALK: Final = ("messages", "input", "contents")
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_TOOLS: Final = ("tools", "functions", "toolConfig")
_EFFORTS: Final = ("reasoning_effort", "reasoning")
_THOUGHTS: Final = frozenset((*_EFFORTS, "thinking", "generationConfig"))
_SHAPES: Final = frozenset(("response_format", "text", "output_config", "output_format", "generationConfig"))
_NONE: Final[Mapping[str, str]] = {}  # CEL knows a dict for a map, and no read-only view of one
_EMPTY: Final = frozenset((b"null", b"[]", b"{}", b"false", b'"none"', b'""'))

Members = Mapping[str, msgspec.Raw]
Found = TypeVar("Found")


class _Late:
    """An attribute that is found out at its first use."""

    __slots__ = ("_find", "_name")

    def __init__(self, find: Callable[["Facts"], object]) -> None:
        self._find = find

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, facts: "Facts", owner: type) -> object:
        # Set on the object itself, it is found there from now on, before this is asked.
        value = self._find(facts)
        setattr(facts, self._name, value)
        return value


def _late(find: "Callable[[Facts], Found]") -> "Found":
    return cast("Found", _Late(find))


class Facts:
    """What is known of one call. `members` is the top level of its body; `size` its class (see `health`).

    `conversation` is what it is a turn of, where that counts; `warm` the target that has its prompt in a cache,
    `cached` how many of its tokens, by target: both by the lower half of their marks (see `Candidate`).

    `traits` are what a scorer sees of it, where there is one to be asked or trained; `likely` is the one that rules
    ask: it says how likely a small model is to do.

    An attribute that is found out of the body is read at its first use; whoever knows it may set it instead. What most
    calls lack stands at the class, and costs a call nothing.
    """

    members: Members | None
    budget_left = 1.0
    cached: Mapping[int, int] | None = None
    traits: tuple[int, ...] | None = None
    likely: "Callable[[Sequence[int]], float] | None" = None
    conversation: "Conversation | None" = None
    warm: int | None = None
    customer = ""
    headers: Mapping[str, str] = _NONE
    key = ""
    org = ""
    session = ""
    tags: Mapping[str, str] = _NONE
    team = ""
    user = ""
    has_images = _late(lambda facts: _images(facts))
    has_tools = _late(lambda facts: _said(facts, _TOOLS))
    input_tokens = _late(lambda facts: _input(facts))
    json_schema = _late(lambda facts: _schema(facts))
    max_tokens = _late(lambda facts: limit_of(facts.members))
    output_tokens = _late(lambda facts: _output(facts))
    reasoning = _late(lambda facts: _thinks(facts))
    size = _late(lambda facts: size_class(facts.input_tokens))

    def __init__(
        self,
        model: str,
        operation: str = "chat",
        body: bytes = b"",
        members: Members | None = None,
        stream: bool = False,
        arrived: float = 0.0,
    ) -> None:
        self.model = model
        self.operation = operation
        self.body = body
        self.members = members
        self.stream = stream
        self.arrived = arrived
        if len(body) <= PICTURED:
            # Most calls are small, and what is late costs more to find out about than to fill.
            self.input_tokens = tokens = len(body) // BYTES_PER_TOKEN
            self.size = 0 if tokens < 1000 else 1

    def __repr__(self) -> str:
        return f"<Facts {self.operation} {self.model!r}>"

    def variables(self, names: Sequence[str]) -> dict[str, object]:
        """Return some of what `TYPES` names, by name, without what cannot be said of this call."""
        found: dict[str, object] = {}
        for name in names:
            derived = _DERIVED.get(name)
            value = derived(self) if derived is not None else getattr(self, name)
            if value is not None:
                found[name] = value
        return found


def tagged(tags: Sequence[str]) -> dict[str, str]:
    """Return tags, `name:value` each, by name."""
    return {name: value for name, _, value in (tag.partition(":") for tag in tags)}


def _said(facts: Facts, names: Sequence[str]) -> bool:
    members = facts.members
    if members is not None:
        for name in names:
            if name in members and bytes(members[name]) not in _EMPTY:
                return True
    return False


def _inside(facts: Facts, name: str, *words: bytes) -> bool:
    if facts.members is None or name not in facts.members:
        return False
    raw = bytes(facts.members[name])
    return any(word in raw for word in words)


def _images(facts: Facts) -> bool:
    members = facts.members
    if members is None:
        return False
    body = facts.body
    if body and not body.rpartition(b"image")[1] and not ("contents" in members and body.rpartition(b'ata"')[1]):
        return False  # no pattern would be found: most calls have no picture, and this says so in a tenth of the time
    return any(name in members and _IMAGE.search(memoryview(members[name])) is not None for name in _TALK)


def _schema(facts: Facts) -> bool:
    if facts.members is None or _SHAPES.isdisjoint(facts.members):
        return False
    return (
        _inside(facts, "response_format", b"json_schema")
        or _inside(facts, "text", b"json_schema")
        or _inside(facts, "output_config", b"json_schema")
        or _inside(facts, "output_format", b"json_schema")
        or _inside(facts, "generationConfig", b"Schema", b"_schema")
    )


def _thinks(facts: Facts) -> bool:
    if facts.members is None or _THOUGHTS.isdisjoint(facts.members):
        return False
    return (
        _said(facts, _EFFORTS)
        or _inside(facts, "thinking", b"enabled", b"adaptive")
        or _inside(facts, "generationConfig", b"hinkingConfig")
    )


def _input(facts: Facts) -> int:
    size = len(facts.body)
    if size > PICTURED and facts.has_images:
        # A picture's bytes are not its tokens: it counts as some hundreds, whatever its size.
        size -= sum(len(run[0]) - 1024 for run in _ENCODED.finditer(facts.body) if len(run[0]) > 1024)
    tokens = size // BYTES_PER_TOKEN
    facts.size = size_class(tokens)
    return tokens


def limit_of(members: Members | None) -> int:
    """Return the most tokens that a request allows its answer, by its top level; 0 where that says nothing."""
    if members is not None:
        for name in _LIMITS:
            raw = members.get(name)
            if raw is not None:
                said = bytes(raw)
                if said.isdigit() and len(said) < 10:
                    return int(said)
    return 0


def _output(facts: Facts) -> int:
    limit = limit_of(facts.members)
    return limit if 0 < limit < TYPICAL_OUTPUT else TYPICAL_OUTPUT


def _complexity(facts: Facts) -> float | None:
    """Return how likely a small model is not to do; None where nobody can say so of this call."""
    if facts.likely is None or (facts.traits is None and facts.members is None):
        return None
    if facts.traits is None:
        from portico.plan.traits import traits_of  # few rules ask

        facts.traits = traits_of(facts)
    return 1.0 - facts.likely(facts.traits)


def _when(facts: Facts) -> datetime:
    return datetime.fromtimestamp(facts.arrived, UTC)


_DERIVED: Final[Mapping[str, Callable[[Facts], object]]] = {
    "complexity": _complexity,
    "day": lambda facts: DAYS[_when(facts).weekday()],
    "hour": lambda facts: _when(facts).hour,
    "minute": lambda facts: _when(facts).minute,
    "region": lambda facts: facts.tags.get("region", ""),
    "tier": lambda facts: facts.tags.get("tier", ""),
}
