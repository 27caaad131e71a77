"""Portkey's configs, as a tree of this gateway's targets: inline JSON in `x-portkey-config`, and its main headers.

Follows portkey.ai/docs/api-reference/inference-api/config-object and …/product/ai-gateway/{fallbacks,load-balancing,
conditional-routing} (read 2026-11-20). A target's provider is one of ours: by `provider`, `virtual_key`, or
`@provider` in either or before its model. Keys of providers stand in the configuration; those in a config are not used.
A host that a caller names (`custom_host`) is refused: a request meant for it must go nowhere else.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from portico.errors import InvalidRequest
from portico.plan.branch import Branch, Kid
from portico.plan.wish import MOST_RETRIES, Wish

HEADERS: Final = (
    b"x-portkey-config",
    b"x-portkey-provider",
    b"x-portkey-virtual-key",
    b"x-portkey-request-timeout",
    b"x-portkey-retry-count",
    b"x-portkey-custom-host",
)
RETRIED: Final = (429, 500, 502, 503, 504)
LONGEST_NAME: Final = 512
MOST_TARGETS: Final = 50
DEEPEST: Final = 8
LONGEST: Final = 128
"""Characters of a pattern, and of what is searched with it."""

PROVIDERS: Final[Mapping[str, str]] = {
    "azure-openai": "azure",
    "vertex-ai": "vertex",
    "google": "gemini",
    "mistral-ai": "mistral",
    "together-ai": "together",
    "fireworks-ai": "fireworks",
    "perplexity-ai": "perplexity",
    "x-ai": "xai",
}
"""Portkey's names for providers, where ours differ."""

Find = Callable[[str, str, float | None], Kid]
"""From what a target names as its provider, perhaps nothing, its model, and the seconds in which its reply must have
begun, to where it goes; raises PorticoError."""


class Condition(msgspec.Struct, frozen=True):
    """One step of a conditional strategy."""

    query: dict[str, Any]
    then: str


class Strategy(msgspec.Struct, frozen=True):
    """How to choose among targets."""

    mode: Literal["single", "fallback", "loadbalance", "conditional"] = "single"
    on_status_codes: tuple[int, ...] = ()
    conditions: tuple[Condition, ...] = ()
    default: str | None = None


class Retry(msgspec.Struct, frozen=True):
    """How often a target is tried again."""

    attempts: int = 0
    on_status_codes: tuple[int, ...] = RETRIED


class Config(msgspec.Struct, frozen=True):
    """A config or one of its targets: the same, nested. What it has besides changes nothing here."""

    strategy: Strategy | None = None
    targets: tuple["Config", ...] = ()
    name: str | None = None
    weight: float = 1.0
    provider: str | None = None
    virtual_key: str | None = None
    override_params: dict[str, Any] = {}
    retry: Retry | None = None
    request_timeout: float | None = None  # milliseconds
    custom_host: str | None = None


class Asked(msgspec.Struct, frozen=True):
    """What conditions may ask about: the call's metadata, its parameters, its path."""

    metadata: Mapping[str, str]
    params: Mapping[str, msgspec.Raw]
    path: str


_config = msgspec.json.Decoder(Config)


def config_of(fields: Mapping[bytes, bytes]) -> Config | None:
    """Return the config that the headers of a request make, None for none. Raises InvalidRequest."""
    if not any(name in fields for name in HEADERS):
        return None
    config = _read(fields[b"x-portkey-config"]) if b"x-portkey-config" in fields else Config()
    if b"x-portkey-custom-host" in fields:
        raise _elsewhere("x-portkey-custom-host")
    if not config.targets and config.provider is None and config.virtual_key is None:
        # Both are ignored where the config says where to go.
        config = msgspec.structs.replace(
            config, provider=_word(fields, b"x-portkey-provider"), virtual_key=_word(fields, b"x-portkey-virtual-key")
        )
    if (said := _word(fields, b"x-portkey-request-timeout")) is not None and config.request_timeout is None:
        config = msgspec.structs.replace(config, request_timeout=_number(said, "x-portkey-request-timeout"))
    if (said := _word(fields, b"x-portkey-retry-count")) is not None and config.retry is None:
        config = msgspec.structs.replace(config, retry=Retry(int(_number(said, "x-portkey-retry-count"))))
    return config


def tree(config: Config, model: str, asked: Asked, find: Find) -> tuple[Kid, Mapping[str, Any]]:
    """Return where a config sends a call for a model, and the parameters that it puts in place of the call's.

    Conditions are decided here; weights and fall-backs are for the plan. Raises InvalidRequest, ModelNotFound.
    """
    overrides: list[Mapping[str, Any]] = []
    kid = _kid(config, model, asked, find, {}, overrides, 0)
    if any(one != overrides[0] for one in overrides[1:]):
        raise InvalidRequest(
            "x-portkey-config has targets whose `override_params` differ in more than the model; they would have to "
            "be the same for all",
            param="x-portkey-config",
        )
    return kid, overrides[0] if overrides else {}


def wished(config: Config) -> Wish:
    """Return what a config says of retries and time. What its targets say is theirs alone, and counts where all do."""
    wish = Wish()
    retry, timeout, codes = config.retry, config.request_timeout, config.strategy and config.strategy.on_status_codes
    only = config
    while len(only.targets) == 1:
        only = only.targets[0]
        retry, timeout = only.retry or retry, only.request_timeout or timeout
    if retry is not None:
        wish.retries = min(max(retry.attempts, 0), MOST_RETRIES)
        wish.retry_on = retry.on_status_codes
    if codes:
        wish.fall_back_on = tuple(codes)
    if timeout is not None:
        wish.timeout = timeout / 1000
    return wish


def _kid(
    config: Config,
    model: str,
    asked: Asked,
    find: Find,
    above: Mapping[str, Any],
    overrides: list[Mapping[str, Any]],
    depth: int,
) -> Kid:
    if depth > DEEPEST or len(config.targets) > MOST_TARGETS:
        raise InvalidRequest("x-portkey-config is nested too deeply, or has too many targets", param="x-portkey-config")
    if config.custom_host:
        raise _elsewhere("x-portkey-config")
    params = {**above, **config.override_params}
    if not config.targets:
        own = dict(params)
        named = own.pop("model", model)
        if not isinstance(named, str) or not named:
            raise InvalidRequest("x-portkey-config names no model, and the request does not either", param="model")
        if not (named.isprintable() and len(named) <= LONGEST_NAME):
            # It goes into headers and records.
            raise InvalidRequest("x-portkey-config has what is no name of a model", param="x-portkey-config")
        overrides.append(own)
        provider = config.provider or config.virtual_key or ""
        if named.startswith("@"):
            provider, _, named = named[1:].partition("/")
        seconds = config.request_timeout / 1000 if config.request_timeout and config.request_timeout > 0 else None
        return find(slug(provider), named, seconds)
    strategy = config.strategy or Strategy()

    def inner(target: Config) -> Kid:
        return _kid(target, model, asked, find, params, overrides, depth + 1)

    if strategy.mode == "single":
        return inner(config.targets[0])
    if strategy.mode == "conditional":
        return inner(_chosen(config, strategy, asked))
    kids = [inner(target) for target in config.targets]
    name = config.name or "x-portkey-config"
    if strategy.mode == "fallback":
        return Branch(name, kids, "fallback")
    weighty = [(kid, target.weight) for kid, target in zip(kids, config.targets, strict=True) if target.weight > 0]
    if not weighty:
        raise InvalidRequest("x-portkey-config has no target with a weight over 0", param="x-portkey-config")
    # Balanced is not fallen back: what was drawn is what answers.
    return Branch(name, [kid for kid, _ in weighty], "drawn", weights=[weight for _, weight in weighty])


def _elsewhere(where: str) -> InvalidRequest:
    return InvalidRequest(
        f"{where} names a host (`custom_host`)",
        param=where,
    )


def slug(named: str) -> str:
    """Return what we call a provider of Portkey's."""
    bare = named.removeprefix("@")
    return PROVIDERS.get(bare, bare)


def _chosen(config: Config, strategy: Strategy, asked: Asked) -> Config:
    named = {target.name: target for target in config.targets if target.name}
    name = strategy.default
    for condition in strategy.conditions:
        if matches(condition.query, asked):
            name = condition.then
            break
    if name not in named:
        what = "no condition of x-portkey-config holds, and it has no default" if name is None else ""
        raise InvalidRequest(what or f"x-portkey-config has no target named {name!r}", param="x-portkey-config")
    return named[name]


def matches(query: Mapping[str, Any], asked: Asked) -> bool:
    """Return whether all of a query is true of a call; what the call does not have is never true."""
    for name, wanted in query.items():
        if name in ("$and", "$or"):
            if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
                raise InvalidRequest(f"{name} in x-portkey-config takes a list of queries", param="x-portkey-config")
            found = [matches(one, asked) for one in wanted]
            if not (all(found) if name == "$and" else any(found)):
                return False
        elif not _holds(_value(name, asked), wanted):
            return False
    return True


def _value(name: str, asked: Asked) -> Any:
    where, _, key = name.partition(".")
    if name == "url.pathname":
        return asked.path
    if where == "metadata":
        return asked.metadata.get(key)
    if where == "params" and key in asked.params:
        return msgspec.json.decode(asked.params[key])
    return None


def _holds(value: Any, wanted: Any) -> bool:
    if value is None:
        return False
    if not isinstance(wanted, dict):
        return bool(value == wanted)
    for operator, other in wanted.items():
        test = _OPERATORS.get(operator)
        if test is None:
            raise InvalidRequest(f"x-portkey-config has no operator {operator!r}", param="x-portkey-config")
        try:
            if not test(value, other):
                return False
        except TypeError:  # of unlike things none is the greater
            return False
    return True


def _searched(value: Any, pattern: Any) -> bool:
    if not isinstance(value, str) or not isinstance(pattern, str):
        return False
    if len(pattern) > LONGEST or _REPEATED.search(pattern) or len(_REPEATS.findall(pattern)) > 3:
        raise InvalidRequest(
            "a $regex of x-portkey-config repeats more than three times, or what repeats, or is long",
            param="x-portkey-config",
        )
    try:
        return re.search(pattern, value[:LONGEST]) is not None
    except re.error as error:
        raise InvalidRequest(f"a $regex of x-portkey-config is none: {error}", param="x-portkey-config") from None


_REPEATED = re.compile(r"[*+}?]\)*[*+{]|\([^)]*[*+{|][^)]*\)[*+{]|\\[1-9]")
"""Patterns that can take a worker for minutes: repetitions of repetitions or alternatives, and references back."""
_REPEATS = re.compile(r"[*+?{]")
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "$eq": lambda value, other: value == other,
    "$ne": lambda value, other: value != other,
    "$gt": lambda value, other: value > other,
    "$gte": lambda value, other: value >= other,
    "$lt": lambda value, other: value < other,
    "$lte": lambda value, other: value <= other,
    "$in": lambda value, other: value in other,
    "$nin": lambda value, other: value not in other,
    "$regex": _searched,
}


def _read(raw: bytes) -> Config:
    text = raw.strip()
    if not text.startswith(b"{"):
        try:
            text = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest(
                "x-portkey-config is a config itself, as JSON: none are stored here under an id",
                param="x-portkey-config",
            ) from None
    try:
        return _config.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"x-portkey-config is not a config: {error}", param="x-portkey-config") from None


def _word(fields: Mapping[bytes, bytes], name: bytes) -> str | None:
    said = fields.get(name)
    return said.decode("latin-1").strip() or None if said is not None else None


def _number(said: str, name: str) -> float:
    if not said.isdigit() or len(said) > 9:
        raise InvalidRequest(f"{name} is a whole number", param=name)
    return float(said)
