"""The recorded calls that can be replayed, and for those that cannot, why."""

import base64
import json
import re
from collections import Counter
from functools import cache
from typing import Any
from urllib.parse import unquote

import msgspec
from tests.framing.recordings import APIS, body_of, load
from tests.replay.places import Found, Place, find, root

ENDPOINTS = {**APIS, "rawPredict": "messages", "streamRawPredict": "messages"}
"""The operation of each recorded API that is an endpoint of the gateway; Vertex AI's are Anthropic's."""
BY_PATH = {
    "/v1/images/variations": "images_variations",
    "/v1/responses/input_tokens": "responses_input_tokens",
}
"""Operations that were recorded under another API's name."""
KEYS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
BLANK = re.compile(rb"\n\n|\r\n\r\n|\r\r")
FORM = "replayed-form"
_FIELD = rb'; ?name="?%b"?\r\n(?:[^\r]+\r\n)*\r\n(.*?)\r\n--'


class Reply(msgspec.Struct, frozen=True):
    """What the provider replied. `sizes` are those of the network's chunks, as far as they were recorded."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sizes: tuple[int, ...]


class Call(msgspec.Struct, frozen=True):
    """A recorded call. `path` has single slashes; `query` lacks the key, which `key_in` says the place of.

    `table` is a JSON body, `form` the bytes of any other. `made_up` is true where the request was not recorded: then
    it is the least that its dialect takes.
    """

    id: str
    api: str
    provider: str
    fidelity: str
    operation: str
    place: Place
    model: str
    method: str
    path: str
    slashes: bool
    query: str
    key_in: str
    headers: tuple[tuple[str, str], ...]
    table: dict[str, Any] | None
    form: bytes | None
    made_up: bool
    streaming: bool
    reply: Reply

    @property
    def seed(self) -> int:
        """A number that is drawn once for each call."""
        return int(self.id[:8], 16)

    @property
    def asks_usage(self) -> bool:
        """Whether the caller asks a stream for its usage."""
        options = (self.table or {}).get("stream_options") or {}
        return options.get("include_usage") is True


@cache
def recorded() -> tuple[tuple[Call, ...], Counter[str]]:
    """Return the calls that can be replayed at their endpoints, and how many cannot, by reason."""
    calls, left = [], Counter[str]()
    for record in load():
        made = read(record)
        if isinstance(made, Call):
            calls.append(made)
        else:
            left[made] += 1
    return tuple(calls), left


def read(record: dict[str, Any]) -> Call | str:
    """Return a record as a call of an endpoint, or why it cannot be one."""
    request = record["request"]
    path = "/" + request["path"].lstrip("/")
    operation = BY_PATH.get(path) or ENDPOINTS.get(record["api"])
    if operation is None:
        return f"not an endpoint: {record['api']}"
    if request["method"] != "POST":
        return f"not a call: {request['method']} of {record['api']}"
    if record["fidelity"] == "reconstructed" and operation in ("converse_stream", "invoke_stream"):
        return "an event stream whose framing was lost"
    if record["streaming"] and body_of(record).count(b"\ndata:") > 1 and not BLANK.search(body_of(record).rstrip()):
        return "server-sent events whose blank lines were lost"
    azure_s = record["provider"] == "azure" and path == "/openai/responses"
    looked_at = "/openai/v1/responses" if azure_s else path
    found = find(record["provider"], operation, looked_at)
    if found is None:
        return f"no row has {record['provider']}'s {record['api']} at this path"
    return _call(record, operation, path, found)


@cache
def passing() -> tuple[tuple[Call, ...], Counter[str]]:
    """Return every recorded call as one that passes through `/{provider}/…`, whatever its API and method."""
    calls, left = [], Counter[str]()
    for record in load():
        request = record["request"]
        path = "/" + request["path"].lstrip("/")
        if "/arn%3A" in path:
            left["a path with an encoded slash"] += 1
            continue
        named = _call(record, "passthrough", path, Found(root(record["provider"], path), ""))
        assert isinstance(named, Call)
        calls.append(named)
    return tuple(calls), left


def _call(record: dict[str, Any], operation: str, path: str, found: Found) -> Call | str:
    request = record["request"]
    headers = tuple((name.lower(), str(value)) for name, value in (request["headers"] or {}).items())
    table, form, made_up = request.get("body"), None, False
    if request.get("body_b64"):
        form, table = base64.b64decode(request["body_b64"]), None
    elif isinstance(table, str):
        if operation != "passthrough":
            return "a body that is not JSON"
        form, table = table.encode(), None
    elif table is None and operation != "passthrough":
        made_up = True
        table, form, headers = _made_up(operation, found, headers, streaming=record["streaming"])
    model = found.model
    if model is None:
        model = _field(form, "model") if form is not None else (table or {}).get("model")
        if not isinstance(model, str):
            return f"names no model: {record['api']}"
    pairs = [pair for pair in request["query"].split("&") if pair]
    place = found.place
    if place.row == "bedrock" and int(record["id"][:8], 16) % 3 == 0:
        place = place._replace(name=f"{place.name}_bearer")
    key_in = next((name for name, _ in headers if name in KEYS), "")
    if any(pair.startswith("key=") for pair in pairs):
        key_in = "query"
    return Call(
        id=record["id"],
        api=record["api"],
        provider=record["provider"],
        fidelity=record["fidelity"],
        operation=operation,
        place=place,
        model=model,
        method=request["method"],
        path=path,
        slashes=request["path"].startswith("//"),
        query="&".join(pair for pair in pairs if not pair.startswith("key=")),
        key_in=key_in,
        headers=headers,
        table=table,
        form=form,
        made_up=made_up,
        streaming=record["streaming"],
        reply=reply_of(record),
    )


def reply_of(record: dict[str, Any]) -> Reply:
    """Return what was replied."""
    response = record["response"]
    headers = tuple((name.lower(), str(value)) for name, value in (response["headers"] or {}).items())
    return Reply(response["status"], headers, body_of(record), tuple(response.get("chunk_sizes") or ()))


def _made_up(
    operation: str, found: Found, headers: tuple[tuple[str, str], ...], *, streaming: bool
) -> tuple[dict[str, Any] | None, bytes | None, tuple[tuple[str, str], ...]]:
    """Make the least request that could have had the recorded reply."""
    if operation.startswith(("audio_tr", "images_edits", "images_variations")):
        fields = {"model": "replayed-model"} | ({"stream": "true"} if streaming else {})
        parts = [
            f'--{FORM}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        form = "".join([*parts, f"--{FORM}--\r\n"]).encode()
        rest = [header for header in headers if header[0] != "content-type"]
        return None, form, (*rest, ("content-type", f"multipart/form-data; boundary={FORM}"))
    table: dict[str, Any] = {} if found.model is not None else {"model": "replayed-model"}
    if streaming and operation not in ("stream_generate_content", "converse_stream", "invoke_stream"):
        table["stream"] = True
    return table, None, headers


def _field(form: bytes, name: str) -> str | None:
    """Return a form's field: an independent reading, by the text around it."""
    found = re.search(_FIELD % name.encode(), form, re.DOTALL)
    return found[1].decode() if found is not None else None


def renamed_form(form: bytes, old: str, new: str) -> bytes:
    """Return a form with another model in it."""
    found = re.search(_FIELD % b"model", form, re.DOTALL)
    assert found is not None
    assert found[1] == old.encode()
    return form[: found.start(1)] + new.encode() + form[found.end(1) :]


STYLES = (
    {"separators": (",", ":"), "ensure_ascii": False},
    {"separators": (", ", ": ")},
    {"separators": (", ", ": "), "ensure_ascii": False},
    {"separators": (",", ":")},
    {"indent": 2, "ensure_ascii": False},
)
"""How JSON is written: by most SDKs, by Python's `requests`, by others, and by hand."""


def written(call: Call, table: dict[str, Any]) -> bytes:
    """Write a JSON body in the way that this call's client does."""
    style = call.seed % len(STYLES)
    text = json.dumps(table, **STYLES[style])  # type: ignore[arg-type]  # the arguments of json.dumps
    return (text + ("\r\n" if style == len(STYLES) - 1 else "")).encode("utf-8", "surrogatepass")


def decoded(path: str) -> str:
    """Return a path with its percent-encoding undone."""
    return unquote(path)
