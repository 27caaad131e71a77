"""The catalog's rows: who a provider is, where each of its operations lives, and how it knows its callers."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec

from portico.config.wildcard import matches

Scheme = Literal["bearer", "header", "none", "azure", "google", "aws", "ibm"]

PATHS: Mapping[str, str] = MappingProxyType(
    {
        # OpenAI's names, which most providers kept
        "chat": "/chat/completions",
        "completions": "/completions",
        "embeddings": "/embeddings",
        "responses": "/responses",
        "responses_input_tokens": "/responses/input_tokens",
        "responses_compact": "/responses/compact",
        "moderations": "/moderations",
        "images_generations": "/images/generations",
        "images_edits": "/images/edits",
        "images_variations": "/images/variations",
        "audio_speech": "/audio/speech",
        "audio_transcriptions": "/audio/transcriptions",
        "audio_translations": "/audio/translations",
        "rerank": "/rerank",
        "models": "/models",
        "model": "/models/{model}",
        # Anthropic
        "messages": "/messages",
        "messages_count_tokens": "/messages/count_tokens",
        # Gemini
        "generate_content": "/models/{model}:generateContent",
        "stream_generate_content": "/models/{model}:streamGenerateContent?alt=sse",
        "gemini_count_tokens": "/models/{model}:countTokens",
        "embed_content": "/models/{model}:embedContent",
        "batch_embed_contents": "/models/{model}:batchEmbedContents",
        "predict": "/models/{model}:predict",
        # Bedrock
        "converse": "/model/{model}/converse",
        "converse_stream": "/model/{model}/converse-stream",
        "converse_count_tokens": "/model/{model}/count-tokens",
        "invoke": "/model/{model}/invoke",
        "invoke_stream": "/model/{model}/invoke-with-response-stream",
        # Cohere
        "cohere_chat": "/v2/chat",
        "cohere_embed": "/v2/embed",
        "cohere_rerank": "/v2/rerank",
    }
)
"""Where each operation is, below a provider's base URL and prefix, unless its row says otherwise."""


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the catalog; a key that it does not name is an error."""


class Option(Closed, frozen=True):
    """What a provider needs to know besides a key; it fills `{name}` in the row's URLs.

    Its value is what the configuration says, else the first of `env` that is set, else, where `by` names another
    option, what `choices` has for that one's value, else `default` (which may hold `{name}` itself).
    """

    env: tuple[str, ...] = ()
    by: str | None = None
    choices: dict[str, str] = {}
    default: str | None = None


class Row(Closed, frozen=True):
    """One provider."""

    name: str
    """For people."""
    base_url: str
    docs: str
    """The provider's own page that says what this row says."""
    operations: tuple[str, ...] = ()
    """Those at their usual paths."""
    paths: dict[str, str] = {}
    """Those elsewhere: a path below the base URL, or a whole URL."""
    streams: dict[str, str] = {}
    """Paths of operations that are elsewhere when they stream."""
    objects: dict[str, str] = {}
    """What can be kept there (the families of `portico.dialects.objects`), each with its path below the base URL."""
    prefix: str = ""
    """Stands before every path, and is left out of `base_url` because the provider's own SDKs leave it out."""
    auth: Scheme = "bearer"
    header: str = ""
    """For the scheme `header`: its name."""
    keys: tuple[str, ...] = ()
    """Variables of the environment that hold the key, the provider's own name for it first."""
    shared: bool = False
    """True when the key's variable belongs to another row too: this one is used only where it is declared."""
    found_by: tuple[str, ...] = ()
    """Variables without a key that show that the provider can be used."""
    options: dict[str, Option] = {}
    headers: dict[str, str] = {}
    """Sent unless the caller sent one of that name."""
    quirks: tuple[str, ...] = ()
    local: bool = False
    """True for a server of one's own, which needs no key."""
    service: str = ""
    """For the scheme `aws`: the service's name in a signature."""
    scope: str = ""
    """For the scheme `azure`: what an Entra token is asked for."""

    def path(self, operation: str) -> str:
        """Return where an operation is: a path below the base URL, or a whole URL."""
        return self.paths.get(operation) or self.prefix + (PATHS.get(operation) or _of_its_dialect(operation))

    @property
    def every_operation(self) -> tuple[str, ...]:
        """All operations, in the row's order, at their usual paths first."""
        return tuple(dict.fromkeys((*self.operations, *self.paths)))


def _of_its_dialect(operation: str) -> str:
    """Return where a dialect says that its operation is, for those that the table above does not have."""
    # Not loaded for the table's own: processes that serve no calls know rows too, and stay small.
    from portico.dialects.registry import SPOKEN

    return next(spoken.paths[operation] for spoken in SPOKEN.values() if operation in spoken.paths)


class Models(Closed, frozen=True):
    """Quirks that depend on the model: of those that fit one of the names (`*` stands for any run of characters)."""

    of: tuple[str, ...]
    """The rows at which they have them."""
    named: tuple[str, ...]
    """Patterns of their names, without what a router puts before the last slash."""
    quirks: tuple[str, ...]
    source: str
    """The page that says so."""


class Catalog(Closed, frozen=True):
    """The whole file."""

    quirks: dict[str, str]
    """What each quirk means."""
    providers: dict[str, Row]
    models: tuple[Models, ...] = ()
    """The first that fits a model is the one that holds."""


def load(written: str) -> Catalog:
    """Read a catalog. `msgspec.ValidationError` or `tomllib.TOMLDecodeError` when it is none."""
    return msgspec.convert(tomllib.loads(written), Catalog)


_SHIPPED = load(Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8"))

CATALOG: Mapping[str, Row] = MappingProxyType(_SHIPPED.providers)
"""The shipped rows, by name."""

QUIRKS: Mapping[str, str] = MappingProxyType(_SHIPPED.quirks)
"""What a quirk's name means."""

MODELS: tuple[Models, ...] = _SHIPPED.models
"""Quirks that depend on the model."""


def model_quirks(like: str, model: str) -> tuple[str, ...]:
    """Return the quirks that a model has at the provider of a row, beside the row's own."""
    name = model.rpartition("/")[2]
    for models in MODELS:
        if like in models.of and any(matches(pattern, name) for pattern in models.named):
            return models.quirks
    return ()
