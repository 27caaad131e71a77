"""Which call a method and a path are, and where the call's model stands.

The paths are those of the providers' own APIs: OpenAI's (with and without `/v1`), Azure's deployments,
Anthropic's, Gemini's and Vertex AI's, Bedrock's, Cohere's; and `/{provider}/…`, which passes through.
"""

import contextlib
import re
from collections.abc import Callable, Container, Mapping
from typing import Final
from urllib.parse import unquote

from portico.dialects.objects import Found, find
from portico.dialects.operation import Operation
from portico.dialects.registry import SPOKEN
from portico.errors import InvalidRequest, MethodNotAllowed

__all__ = ["OPERATIONS", "Operation", "Route", "route"]


class Route:
    """What a request is.

    `model` is the path's, percent-decoded. `provider` and `rest` (the path after the provider, `/…`, without the
    query) are set for pass-through and nothing else. `found` says which call about objects it is, where it is one.
    """

    __slots__ = ("found", "model", "operation", "provider", "rest")

    def __init__(
        self,
        operation: Operation,
        model: str | None = None,
        provider: str | None = None,
        rest: str = "",
        found: Found | None = None,
    ) -> None:
        self.operation: Final = operation
        self.model: Final = model
        self.provider: Final = provider
        self.rest: Final = rest
        self.found: Final = found

    def __repr__(self) -> str:
        return f"<Route to {self.operation.name} {self.model!r}>"

    def to(self, found: Found) -> "Route":
        """Return the same route, to another call about objects."""
        return Route(found.thing.operation, self.model, self.provider, self.rest, found)

    @property
    def modelled(self) -> bool:
        """Whether it goes to where its model leads: no pass-through, nothing about objects, not answered here."""
        return self.provider is None and self.found is None and not self.operation.local


_GENERAL: Final = (
    Operation(name="models", dialect="chat", body="none", model_in="none", local=True),
    Operation(name="model", dialect="chat", body="none", model_in="path", local=True),
    Operation(name="passthrough", dialect="chat", body="binary", model_in="none"),
)

OPERATIONS: Final[Mapping[str, Operation]] = {
    operation.name: operation
    for operation in (*(one for spoken in SPOKEN.values() for one in spoken.operations), *_GENERAL)
}
"""Every operation by its name: those of each dialect, and those of the gateway itself."""

_OPENAI: Final = {
    "chat/completions": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
    "moderations": "moderations",
    "images/generations": "images_generations",
    "images/edits": "images_edits",
    "images/variations": "images_variations",
    "audio/speech": "audio_speech",
    "audio/transcriptions": "audio_transcriptions",
    "audio/translations": "audio_translations",
    "responses": "responses",
    "responses/input_tokens": "responses_input_tokens",
    "responses/compact": "responses_compact",
    "rerank": "rerank",
}
_FIXED: Final[dict[str, tuple[str, Route]]] = {
    **{f"/v1/{path}": ("POST", Route(OPERATIONS[name])) for path, name in _OPENAI.items()},
    **{f"/{path}": ("POST", Route(OPERATIONS[name])) for path, name in _OPENAI.items()},
    # Azure's client sends these without a deployment.
    "/openai/responses": ("POST", Route(OPERATIONS["responses"])),
    "/openai/responses/compact": ("POST", Route(OPERATIONS["responses_compact"])),
    **{path: ("POST", Route(OPERATIONS[name])) for one in SPOKEN.values() for path, name in one.routes.items()},
    "/v1/models": ("GET", Route(OPERATIONS["models"])),
    "/models": ("GET", Route(OPERATIONS["models"])),
    "/v1beta/models": ("GET", Route(OPERATIONS["models"])),
}
# The same operations where the path names the model, as a deployment or an engine.
_DEPLOYED: Final = {
    path: OPERATIONS[name].in_path()
    for path, name in _OPENAI.items()
    if name not in ("rerank", "responses", "responses_input_tokens", "responses_compact")
}
_GEMINI: Final = {
    "generateContent": OPERATIONS["generate_content"],
    "streamGenerateContent": OPERATIONS["stream_generate_content"],
    "countTokens": OPERATIONS["gemini_count_tokens"],
    "embedContent": OPERATIONS["embed_content"],
    "batchEmbedContents": OPERATIONS["batch_embed_contents"],
    "predict": OPERATIONS["predict"],
}
_BEDROCK: Final = {
    "converse": OPERATIONS["converse"],
    "converse-stream": OPERATIONS["converse_stream"],
    "count-tokens": OPERATIONS["converse_count_tokens"],
    "invoke": OPERATIONS["invoke"],
    "invoke-with-response-stream": OPERATIONS["invoke_stream"],
}


_SLASHES: Final = re.compile("/+")
_ESCAPED: Final = re.compile("%[2-7][0-9A-Fa-f]")


def _unescaped(found: re.Match[str]) -> str:
    """Return a letter, digit or mark that need not be escaped as it is, anything else escaped (RFC 3986 §6.2.2.2)."""
    letter = chr(int(found[0][1:], 16))
    return letter if letter.isalnum() or letter in "-._~" else found[0]


def route(method: str, path: str, providers: Container[str]) -> Route | None:
    """Return what a request is, None when it is no call of an LLM API.

    `path` is as it came: percent-encoded, without the query. `providers` are the names that may be passed through
    to. Raises MethodNotAllowed for a known path with another method, InvalidRequest for a name that cannot be one.
    """
    if path.startswith("//"):  # from a base URL that ends in a slash
        path = "/" + path.lstrip("/")
    found = _known(method, path)
    if found is None and (path.endswith("/") or "//" in path):  # where clients put a path together of two
        found = _known(method, _SLASHES.sub("/", path).rstrip("/"))
    if found is not None:
        return found
    # Azure's clients say /openai/files; where a provider has that name, it is the one that is meant.
    thing = find(method, path) if not path.startswith("/openai/") or "openai" not in providers else None
    if thing is not None:
        return Route(thing.thing.operation, found=thing)
    if path.startswith("/openai/v1/") and "openai" not in providers:  # Azure's v1 API, and Groq's client
        return route(method, path.removeprefix("/openai"), providers)
    name, slash, rest = path[1:].partition("/")
    return _passthrough(method, name, slash + rest) if slash and name in providers else None


def _known(method: str, path: str) -> Route | None:
    fixed = _FIXED.get(path)
    if fixed is not None:
        if method != fixed[0]:
            raise MethodNotAllowed(f"{path} is called with {fixed[0]}, not {method}")
        return fixed[1]
    for prefix, read in _PREFIXES:
        if path.startswith(prefix):
            return read(method, path, path[len(prefix) :])
    return None


def _deployment(method: str, path: str, rest: str) -> Route | None:
    """Read `{model}/chat/completions` and its like; a model may hold slashes."""
    parts = rest.split("/")
    for size in (2, 1):
        operation = _DEPLOYED.get("/".join(parts[-size:])) if len(parts) > size else None
        if operation is not None:
            return _named(method, "POST", path, operation, "/".join(parts[:-size]))
    return None


def _bedrock(method: str, path: str, rest: str) -> Route | None:
    """Read `{id}/converse` and its like; an id that is an ARN may hold slashes."""
    model, _, action = rest.rpartition("/")
    operation = _BEDROCK.get(action)
    return _named(method, "POST", path, operation, model) if operation is not None else None


def _models(method: str, path: str, rest: str) -> Route | None:
    """Read `{model}:generateContent` and its like, or one model's description."""
    model, _, action = rest.rpartition(":")
    operation = _GEMINI.get(action)
    if operation is not None and model:
        return _named(method, "POST", path, operation, model)
    if ":" in rest and method == "POST":
        return None
    return _named(method, "GET", path, OPERATIONS["model"], rest)


def _slashed(method: str, path: str, rest: str) -> Route | None:
    """Read `{provider}/{model}:generateContent`: Google's clients for Node leave `models/` out before a slash."""
    model, _, action = rest.rpartition(":")
    operation = _GEMINI.get(action)
    return _named(method, "POST", path, operation, model) if operation is not None and "/" in model else None


def _vertex(method: str, path: str, rest: str) -> Route | None:
    """Read `[projects/{p}/locations/{l}/]publishers/google/models/{model}:generateContent` and its like.

    Google's clients make `publishers/{provider}/models/{model}` of a name with a slash.
    """
    parts = rest.split("/", 4) if rest.startswith("projects/") else ["", "", "", "", rest]
    if len(parts) < 5 or parts[2] not in ("locations", "") or not parts[4].startswith("publishers/"):
        return None
    publisher, _, model = parts[4].removeprefix("publishers/").partition("/models/")
    model, _, action = model.rpartition(":")
    operation = _GEMINI.get(action)
    if operation is None or not model or not publisher or "/" in publisher:
        return None
    return _named(method, "POST", path, operation, model if publisher == "google" else f"{publisher}/{model}")


_PREFIXES: Final[tuple[tuple[str, Callable[[str, str, str], Route | None]], ...]] = (
    ("/openai/deployments/", _deployment),
    ("/model/", _bedrock),
    ("/v1/models/", _models),
    ("/v1beta/models/", _models),
    ("/v1alpha/models/", _models),
    ("/v1beta/", _slashed),
    ("/v1alpha/", _slashed),
    ("/models/", _models),
    ("/v1/engines/", _deployment),
    ("/engines/", _deployment),
    ("/v1/projects/", lambda method, path, rest: _vertex(method, path, "projects/" + rest)),
    ("/v1beta1/", _vertex),
    ("/v1/publishers/", lambda method, path, rest: _vertex(method, path, "publishers/" + rest)),
)


def _named(method: str, wanted: str, path: str, operation: Operation, encoded: str) -> Route | None:
    if not encoded:
        return None
    if method != wanted:
        raise MethodNotAllowed(f"{path} is called with {wanted}, not {method}")
    try:
        model = unquote(encoded, errors="strict") if "%" in encoded else encoded
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the model {encoded!r} in the path is not UTF-8", param="model") from error
    if not model.isprintable():
        raise InvalidRequest(f"the model {encoded!r} in the path has control characters", param="model")
    return Route(operation, model)


def _passthrough(method: str, provider: str, rest: str) -> Route:
    lowered = rest.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace("\\", "/")
    if any(part in (".", "..") for part in lowered.split("/")):
        raise InvalidRequest(f"the path {rest!r} has dot segments; write it without them")
    inner = None
    rest_plain = _SLASHES.sub("/", _ESCAPED.sub(_unescaped, rest))
    # What is allowed there is the provider's to say: a path with another method passes on, as nothing we know.
    with contextlib.suppress(MethodNotAllowed):
        # A provider may keep its API under a path of its own: /openai/v1/…, /api/v1/….
        inner = _known(method, rest) or _known(method, rest[max(rest.rfind("/v1/"), 0) :])
    if inner is None and method == "POST" and rest.endswith("/chat/completions"):
        inner = Route(OPERATIONS["chat"])
    if inner is None:
        with contextlib.suppress(MethodNotAllowed):
            # however it is written, it must not be taken for another path than the provider takes it for
            thing = find(method, rest_plain) or find(method, rest_plain[max(rest_plain.rfind("/v1/"), 0) :])
            if thing is not None:
                return Route(thing.thing.operation, None, provider, rest, thing)
        return Route(OPERATIONS["passthrough"], None, provider, rest)
    return Route(inner.operation, inner.model, provider, rest)
