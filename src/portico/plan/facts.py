"""What a plan may know of a call: who asks, for what, and how large it is. What costs a look is read late."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from portico.plan.health import size_class

TYPES: Final[Mapping[str, str]] = {
    "budget_left": "double",
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
the least share that is left of any budget, 1.0 where there is none.
"""

TYPICAL_OUTPUT: Final = 300
"""Tokens of an answer, where nothing says how long it will be."""
BYTES_PER_TOKEN: Final = 4
PICTURED: Final = 8192
"""Bytes of a request beyond which it is asked whether they are a picture's."""
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_IMAGE = re.compile(
    rb'"type"\s*:\s*"(?:image|image_url|input_image)"|"(?:inlineData|inline_data|fileData|file_data)"|"image"\s*:\s*{'
)
_ENCODED = re.compile(rb"[A-Za-z0-9+/]{256,}={0,2}")
_TALK: Final = ("messages", "input", "contents")
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_EMPTY: Final = frozenset((b"null", b"[]", b"{}", b"false", b'"none"', b'""'))

Members = Mapping[str, msgspec.Raw]


class Facts:
    """What is known of one call. `members` is the top level of its body; `size` its class (see `health`).

    An attribute that is found out of the body is read at its first use; whoever knows it may set it instead.
    """

    __slots__ = (
        "arrived",
        "body",
        "budget_left",
        "cached_tokens",
        "customer",
        "has_images",
        "has_tools",
        "headers",
        "input_tokens",
        "json_schema",
        "key",
        "max_tokens",
        "members",
        "model",
        "operation",
        "org",
        "output_tokens",
        "reasoning",
        "session",
        "size",
        "stream",
        "tags",
        "team",
        "user",
    )

    # Said by whoever makes it
    model: str
    operation: str
    stream: bool
    body: bytes
    members: Members | None
    arrived: float
    # Read at first use
    budget_left: float
    cached_tokens: int
    customer: str
    has_images: bool
    has_tools: bool
    headers: Mapping[str, str]
    input_tokens: int
    json_schema: bool
    key: str
    max_tokens: int
    org: str
    output_tokens: int
    reasoning: bool
    session: str
    size: int
    tags: Mapping[str, str]
    team: str
    user: str

    def __init__(
        self,
        model: str,
        operation: str = "chat",
        *,
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
            # Most calls are small, and an empty slot costs more to find out about than to fill.
            self.input_tokens = tokens = len(body) // BYTES_PER_TOKEN
            self.size = 0 if tokens < 1000 else 1

    def __repr__(self) -> str:
        return f"<Facts {self.operation} {self.model!r}>"

    def __getattr__(self, name: str) -> Any:
        # Called where a slot is empty.
        read = _READ.get(name)
        if read is None:
            raise AttributeError(name)
        value = read(self)
        setattr(self, name, value)
        return value

    def variables(self, names: Sequence[str]) -> dict[str, object]:
        """Return some of what `TYPES` names, by name."""
        found: dict[str, object] = {}
        for name in names:
            derived = _DERIVED.get(name)
            found[name] = derived(self) if derived is not None else getattr(self, name)
        return found


def tagged(tags: Sequence[str]) -> dict[str, str]:
    """Return tags, `name:value` each, by name."""
    return {name: value for name, _, value in (tag.partition(":") for tag in tags)}


def _said(facts: Facts, *names: str) -> bool:
    members = facts.members
    return members is not None and any(name in members and bytes(members[name]) not in _EMPTY for name in names)


def _inside(facts: Facts, name: str, *words: bytes) -> bool:
    if facts.members is None or name not in facts.members:
        return False
    raw = bytes(facts.members[name])
    return any(word in raw for word in words)


def _images(facts: Facts) -> bool:
    members = facts.members
    return members is not None and any(
        name in members and _IMAGE.search(memoryview(members[name])) is not None for name in _TALK
    )


def _schema(facts: Facts) -> bool:
    return (
        _inside(facts, "response_format", b"json_schema")
        or _inside(facts, "text", b"json_schema")
        or _inside(facts, "output_config", b"json_schema")
        or _inside(facts, "output_format", b"json_schema")
        or _inside(facts, "generationConfig", b"Schema", b"_schema")
    )


def _thinks(facts: Facts) -> bool:
    return (
        _said(facts, "reasoning_effort", "reasoning")
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


def _limit(facts: Facts) -> int:
    for name in _LIMITS:
        if facts.members is not None and name in facts.members:
            said = bytes(facts.members[name])
            if said.isdigit() and len(said) < 10:
                return int(said)
    return 0


def _output(facts: Facts) -> int:
    return min(facts.max_tokens or TYPICAL_OUTPUT, TYPICAL_OUTPUT)


def _when(facts: Facts) -> datetime:
    return datetime.fromtimestamp(facts.arrived, UTC)


_READ: Final[Mapping[str, Callable[[Facts], object]]] = {
    "budget_left": lambda _: 1.0,
    "cached_tokens": lambda _: 0,
    "customer": lambda _: "",
    "has_images": _images,
    "has_tools": lambda facts: _said(facts, "tools", "functions", "toolConfig"),
    "headers": lambda _: {},
    "input_tokens": _input,
    "json_schema": _schema,
    "key": lambda _: "",
    "max_tokens": _limit,
    "org": lambda _: "",
    "output_tokens": _output,
    "reasoning": _thinks,
    "session": lambda _: "",
    "size": lambda facts: size_class(facts.input_tokens),
    "tags": lambda _: {},
    "team": lambda _: "",
    "user": lambda _: "",
}
_DERIVED: Final[Mapping[str, Callable[[Facts], object]]] = {
    "day": lambda facts: DAYS[_when(facts).weekday()],
    "hour": lambda facts: _when(facts).hour,
    "minute": lambda facts: _when(facts).minute,
    "region": lambda facts: facts.tags.get("region", ""),
    "tier": lambda facts: facts.tags.get("tier", ""),
}
