"""The spellings under which a provider's model may be in the price table, most particular first.

One model has many names: Bedrock's profiles add a region, Vertex spells out the publisher, a deployment in Azure is
called what its owner likes. Here is what each provider's documentation says about that, as pure functions from a
name to other names; which of them the table holds is not known here.
"""

import re
from collections.abc import Callable, Iterator, Mapping

Spellings = Callable[[str], Iterator[tuple[str, str]]]
"""From a model's name to (provider, name) pairs to look up after the name itself."""

ARN = re.compile(r"arn:aws[\w-]*:bedrock:[\w-]*:\d*:(?:foundation-model|inference-profile)/(.+)")
REGION = re.compile(r"(us-gov|us|eu|apac|jp|au|ca|sa|me|af|in|global)\.(?=[a-z0-9]+\.)")
VERSION = re.compile(r"(?:-v\d+)?:\d+(?::\d+k|:mm)?$|-v\d+$")
PUBLISHER = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/([^/]+)/models/(.+)")


def _bedrock(model: str) -> Iterator[tuple[str, str]]:
    """Profiles `us.anthropic.…`, ARNs, versions `-v1:0`, context sizes `:200k`.

    A regional profile costs more than the global one for recent models, so one that is not in the table is
    taken for the American, and only then for the model without a region.
    """
    arn = ARN.fullmatch(model)
    name = arn[1] if arn else model
    region = REGION.match(name)
    plain = name[region.end() :] if region else name
    prefixes = [""] if region is None or region[1] == "global" else [f"{region[1]}.", "us.", ""]
    if region is not None and region[1] == "global":
        prefixes = ["global.", ""]
    short = VERSION.sub("", plain)
    for prefix in prefixes:
        for tail in dict.fromkeys(
            (plain, re.sub(r":\d+k$", "", plain), short, f"{short}-v1:0", f"{short}-v1", f"{short}:0")
        ):
            yield "bedrock", prefix + tail


def _vertex(model: str) -> Iterator[tuple[str, str]]:
    """`publishers/google/models/…`, and `google/…` at its OpenAI-compatible endpoint."""
    spelled = PUBLISHER.fullmatch(model)
    if spelled:
        publisher, name = spelled.groups()
        yield "vertex", f"{publisher}/{name}"
        yield "vertex", name
        model = name
    _, slash, name = model.rpartition("/")
    if slash:
        yield "vertex", name


def _gemini(model: str) -> Iterator[tuple[str, str]]:
    """`models/…`."""
    if model.startswith("models/"):
        yield "gemini", model.removeprefix("models/")


def _azure(model: str) -> Iterator[tuple[str, str]]:
    """A deployment named like its model. Microsoft's names lack the dot (`gpt-35-turbo`), and where it publishes no
    price of its own, the models of OpenAI cost there what they cost at OpenAI.
    """
    name = model.replace("gpt-35-", "gpt-3.5-")
    for provider in ("azure", "azure_ai", "openai"):
        yield provider, name


def _openai(model: str) -> Iterator[tuple[str, str]]:
    """`ft:gpt-4o-2024-08-06:org:name:id` is priced by the row of `ft:gpt-4o-2024-08-06`, never by that of its base."""
    if model.startswith("ft:"):
        yield "openai", "ft:" + model.split(":")[1]


def _openrouter(model: str) -> Iterator[tuple[str, str]]:
    """`vendor/model:variant` costs what the model costs, unless the variant has a row (`:free` is not asked here)."""
    yield "openrouter", model.partition(":")[0]


def _fireworks(model: str) -> Iterator[tuple[str, str]]:
    """`accounts/fireworks/models/…`, in full and in short."""
    if "/" not in model:
        yield "fireworks", f"accounts/fireworks/models/{model}"
    else:
        yield "fireworks", model.rpartition("/")[2]


def _azure_anthropic(model: str) -> Iterator[tuple[str, str]]:
    """Claude at Microsoft costs what Microsoft publishes, else what it costs at Anthropic."""
    yield "azure_ai", model
    yield "anthropic", model


def _bedrock_mantle(model: str) -> Iterator[tuple[str, str]]:
    """Bedrock's OpenAI-compatible endpoint sells Bedrock's models."""
    yield "bedrock", model
    yield from _bedrock(model)


def _gemini_openai(model: str) -> Iterator[tuple[str, str]]:
    """Gemini's OpenAI-compatible endpoint."""
    yield "gemini", model
    yield from _gemini(model)


def _cohere_openai(model: str) -> Iterator[tuple[str, str]]:
    """Cohere's OpenAI-compatible endpoint."""
    yield "cohere", model


SPELLINGS: Mapping[str, Spellings] = {
    "azure": _azure,
    "azure_ai": _azure,
    "azure_anthropic": _azure_anthropic,
    "bedrock": _bedrock,
    "bedrock_mantle": _bedrock_mantle,
    "cohere_openai": _cohere_openai,
    "fireworks": _fireworks,
    "gemini": _gemini,
    "gemini_openai": _gemini_openai,
    "openai": _openai,
    "openrouter": _openrouter,
    "vertex": _vertex,
}


def free(provider: str, model: str) -> bool:
    """Return whether the name itself says that the model costs nothing: OpenRouter's `:free`."""
    return provider == "openrouter" and model.endswith(":free")


def spellings(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """Yield the names to look up, as (provider, model), the name as given first."""
    yield provider, model
    others = SPELLINGS.get(provider)
    if others is not None:
        yield from others(model)
