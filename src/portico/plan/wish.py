"""What one caller wants of a plan, within what its key may do: from headers, and from fields that other gateways know.

`models`, `provider` and `route` are OpenRouter's (openrouter.ai/docs/guides/routing/provider-selection and
…/model-fallbacks, read 2026-11-20), `fallbacks` is LiteLLM's (docs.litellm.ai/docs/proxy/reliability), and so is what
stands in `LITELLMS` (docs.litellm.ai/docs/proxy/user_keys, …/timeout, …/caching and …/guardrails, read 2026-11-21).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec

from portico.config.schema import Retention, Strategy
from portico.config.units import duration
from portico.errors import InvalidRequest

LITELLMS: Final = frozenset(
    ("num_retries", "timeout", "tags", "cache", "guardrails", "litellm_session_id", "litellm_trace_id")
)
"""Members of a body that no gateway but LiteLLM knows, and no provider."""
FIELDS: Final = frozenset(("models", "provider", "route", "fallbacks")) | LITELLMS
"""Members of a body that are for a gateway; they do not go on to a provider that does not know them."""
RETRIES: Final = (b"x-portico-retries", b"x-litellm-num-retries")
TIMEOUTS: Final = (b"x-portico-timeout", b"x-litellm-timeout")
HEADERS: Final = (b"x-portico-fallbacks", b"x-portico-strategy", *RETRIES, *TIMEOUTS)
MOST_MODELS: Final = 10
MOST_RETRIES: Final = 9
STRATEGIES: Final = frozenset(get_args(Strategy)) - {"weighted", "split", "score", "complexity"}
"""Those that a caller may choose: the others need what only the configuration says."""
SORTS: Final[Mapping[str, str]] = {
    "price": "lowest_cost",
    "throughput": "highest_throughput",
    "latency": "lowest_latency",
}
SUFFIXES: Final[Mapping[str, str]] = {":nitro": "highest_throughput", ":floor": "lowest_cost"}


class Most(msgspec.Struct, frozen=True):
    """OpenRouter's `max_price`: dollars per million tokens; `request` and `image` are dollars each."""

    prompt: float | None = None
    completion: float | None = None
    request: float | None = None
    image: float | None = None


Cutoff = float | dict[Literal["p50", "p75", "p90", "p99"], float]


class Sort(msgspec.Struct, frozen=True):
    """OpenRouter's `sort` written as a table: `partition: none` sorts the targets of all models together."""

    by: Literal["price", "throughput", "latency"]
    partition: Literal["model", "none"] = "model"


class Preferences(msgspec.Struct, frozen=True):
    """OpenRouter's `provider`. What it has besides is not known here and changes nothing."""

    order: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    data_collection: Literal["allow", "deny"] = "allow"
    zdr: bool = False
    enforce_distillable_text: bool = False
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    quantizations: tuple[str, ...] = ()
    sort: Literal["price", "throughput", "latency"] | Sort | None = None
    preferred_min_throughput: Cutoff | None = None
    preferred_max_latency: Cutoff | None = None
    max_price: Most | None = None


class Wish(msgspec.Struct, kw_only=True):
    """What a caller wants. `models` are tried after the one that the call names.

    `order`, `only` and `ignore` name providers. `joined` sorts the targets of all models together. `rates` are the
    most that a token in and out may cost, in pico-dollars. `quick` and `fast` are wanted rather than demanded: seconds
    to the first token, tokens a second. `retries` come after the first try, on the statuses of `retry_on`; those of
    `fall_back_on` alone lead on to the next target. `timeout` is seconds for all of it.
    """

    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    strategy: str | None = None
    joined: bool = False
    fallbacks: bool = True
    strict: bool = False
    retention: tuple[Retention, ...] = ()
    rates: tuple[float | None, float | None] | None = None
    quick: float | None = None
    fast: float | None = None
    retries: int | None = None
    retry_on: tuple[int, ...] = ()
    fall_back_on: tuple[int, ...] = ()
    timeout: float | None = None


_preferences = msgspec.json.Decoder(Preferences)
_names = msgspec.json.Decoder(tuple[str, ...])
_listed = msgspec.json.Decoder(list[Any])


def of_headers(fields: Mapping[bytes, bytes]) -> Wish | None:
    """Return what the headers `x-portico-…` ask for, or LiteLLM's; None for nothing. Raises InvalidRequest."""
    if not any(name in fields for name in HEADERS):
        return None
    wish = Wish()
    if (said := fields.get(b"x-portico-fallbacks")) is not None:
        wish.models = _bounded([name.strip() for name in _text(said).split(",") if name.strip()], "x-portico-fallbacks")
    if (name := next((name for name in RETRIES if name in fields), None)) is not None:
        wish.retries = _count(_text(fields[name]), name.decode())
    if (name := next((name for name in TIMEOUTS if name in fields), None)) is not None:
        wish.timeout = _seconds(_text(fields[name]), name.decode())
    if (said := fields.get(b"x-portico-strategy")) is not None:
        wish.strategy = _text(said).strip()
        if wish.strategy not in STRATEGIES:
            raise InvalidRequest(f"x-portico-strategy is one of {', '.join(sorted(STRATEGIES))}")
    return wish


def of_body(members: Mapping[str, msgspec.Raw], before: Wish | None) -> Wish | None:
    """Return what the body's fields ask for, over what the headers do; None for nothing. Raises InvalidRequest."""
    if FIELDS.isdisjoint(members):
        return before
    wish = before if before is not None else Wish()
    wish = msgspec.structs.replace(wish)
    if "fallbacks" in members:
        wish.models = _bounded(_fallbacks(members["fallbacks"]), "fallbacks")
    if "models" in members:
        try:
            wish.models = _bounded(_names.decode(members["models"]), "models")
        except msgspec.MsgspecError:
            raise InvalidRequest("`models` is a list of names of models", param="models") from None
    if "provider" in members and bytes(members["provider"])[:1] == b"{":
        _prefer(wish, members["provider"])
    said = {name: _text(bytes(members[name])) for name in LITELLMS & members.keys()}
    if (count := said.get("num_retries", "null")) != "null":
        wish.retries = _count(count, "`num_retries`")
    if (seconds := said.get("timeout", "null")) != "null":
        wish.timeout = _seconds(seconds, "`timeout`")
    if said.get("guardrails", "null").strip("[]{} \n") not in ("", "null"):
        raise InvalidRequest("there are no guardrails here that a call could ask for", param="guardrails")
    return wish


def first_named(members: Mapping[str, msgspec.Raw]) -> tuple[str | None, bytes]:
    """Return the first name of `models`, for a body that has no `model`, and the rest of the list as JSON."""
    if "model" in members or "models" not in members:
        return None, b"[]"
    try:
        named = _names.decode(members["models"])
    except msgspec.MsgspecError:
        raise InvalidRequest("`models` is a list of names of models", param="models") from None
    _bounded(named, "models")
    return (named[0] if named else None), msgspec.json.encode(named[1:])


def _prefer(wish: Wish, raw: msgspec.Raw) -> None:
    try:
        said = _preferences.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"`provider` cannot be followed: {error}", param="provider") from None
    if said.quantizations or said.enforce_distillable_text:
        what = "quantizations" if said.quantizations else "enforce_distillable_text"
        raise InvalidRequest(f"nothing is known here of what `provider.{what}` asks for", param=f"provider.{what}")
    wish.order, wish.only, wish.ignore = said.order, said.only, said.ignore
    wish.fallbacks, wish.strict = said.allow_fallbacks, said.require_parameters
    if said.zdr:
        wish.retention = ("none",)
    elif said.data_collection == "deny":
        wish.retention = ("none", "limited")
    if isinstance(said.sort, Sort):
        wish.strategy, wish.joined = SORTS[said.sort.by], said.sort.partition == "none"
    elif said.sort is not None:
        wish.strategy = SORTS[said.sort]
    if said.max_price is not None:
        if said.max_price.request is not None or said.max_price.image is not None:
            raise InvalidRequest(
                "`provider.max_price` takes `prompt` and `completion` here", param="provider.max_price"
            )
        wish.rates = (said.max_price.prompt, said.max_price.completion)
    wish.quick = _cut(said.preferred_max_latency, max)
    wish.fast = _cut(said.preferred_min_throughput, min)


def _cut(said: Cutoff | None, choose: Any) -> float | None:
    # One estimate is kept of a target, not its percentiles: the median's cut-off is for it, or the mildest of them.
    if isinstance(said, dict):
        return said.get("p50", choose(said.values()) if said else None)
    return said


def _fallbacks(raw: msgspec.Raw) -> list[str]:
    """Return the names of LiteLLM's `fallbacks`: names, tables with `model`, or `{model: [names]}` in a list."""
    try:
        listed = _listed.decode(raw)
    except msgspec.MsgspecError:
        raise InvalidRequest("`fallbacks` is a list of names of models", param="fallbacks") from None
    found: list[str] = []
    for one in listed:
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict) and set(one) == {"model"} and isinstance(one["model"], str):
            found.append(one["model"])
        elif isinstance(one, dict) and len(one) == 1 and isinstance(names := next(iter(one.values())), list):
            found += [name for name in names if isinstance(name, str)]
        else:
            raise InvalidRequest(
                "an entry of `fallbacks` is a name, or a table with nothing but `model`; what else is to change has "
                "to be another name of the configuration",
                param="fallbacks",
            )
    return found


def _bounded(names: Sequence[str], field: str) -> tuple[str, ...]:
    if len(names) > MOST_MODELS:
        raise InvalidRequest(f"`{field}` names at most {MOST_MODELS} models", param=field)
    if not all(name and name.isprintable() and len(name) <= 512 for name in names):
        raise InvalidRequest(f"`{field}` has what is no name of a model", param=field)
    return tuple(dict.fromkeys(names))


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _count(said: str, header: str) -> int:
    if not said.strip().isdigit() or int(said) > MOST_RETRIES:
        raise InvalidRequest(f"{header} is a number up to {MOST_RETRIES}")
    return int(said)


def _seconds(said: str, header: str) -> float:
    try:
        seconds = duration(said.strip())
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise InvalidRequest(f"{header} is a number of seconds, or a duration such as `30s` or `2m`")
    return seconds


def merged(first: Wish, other: Wish | None) -> Wish:
    """Return what either wants; where both say something, the other does."""
    if other is None:
        return first
    plain = Wish()
    said = {
        field: getattr(other, field)
        for field in other.__struct_fields__
        if getattr(other, field) != getattr(plain, field)
    }
    return msgspec.structs.replace(first, **said)
