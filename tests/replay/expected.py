"""What a recorded call is sent as, what upstream must get of it, and what the caller must get back."""

import json
import re
from typing import Any, Literal

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.replay.caller import Got
from tests.replay.calls import KEYS, Call, decoded, renamed_form, written
from tests.replay.declared import OWN_REPLY, OWN_REQUEST, comes_back, declare, goes_on
from tests.replay.origin import MARK, Asked
from tests.replay.places import encoded

from portico.providers.catalog import CATALOG
from portico.record import Record
from portico.types import Usage

GATEWAY_KEY = "gateway-key-of-the-caller"
Way = Literal["own", "through"]
"""At the endpoint of the call's dialect, or through `/{provider}/…`."""

KEY_HEADERS = {
    "anthropic": "x-api-key",
    "azure_anthropic": "x-api-key",
    "gemini": "x-goog-api-key",
    "vertex": "x-goog-api-key",
    "azure": "api-key",
    "azure_ai": "api-key",
    "portkey": "x-portkey-api-key",
}
"""Where a row's key goes, when that is not `Authorization: Bearer`."""
DEFAULTS = {row: {"anthropic-version": "2023-06-01"} for row in ("anthropic", "azure_anthropic")}
GEMINI_S = ("generate_content", "stream_generate_content", "gemini_count_tokens")
"""Operations of Vertex AI that are called at v1beta1, wherever they were recorded."""

ALWAYS_REPORT = frozenset(name for name, row in CATALOG.items() if "usage_always" in row.quirks)
JUNK = (("cookie", "session=of-the-browser"), ("x-forwarded-for", "10.1.2.3"), ("x-real-ip", "10.1.2.3"))
"""What proxies and browsers add, and no provider is to see."""
OPENAI_PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "moderations": "/v1/moderations",
    "images_generations": "/v1/images/generations",
    "images_edits": "/v1/images/edits",
    "images_variations": "/v1/images/variations",
    "audio_speech": "/v1/audio/speech",
    "audio_transcriptions": "/v1/audio/transcriptions",
    "audio_translations": "/v1/audio/translations",
    "responses": "/v1/responses",
    "responses_input_tokens": "/v1/responses/input_tokens",
    "messages": "/v1/messages",
    "messages_count_tokens": "/v1/messages/count_tokens",
    "rerank": "/v1/rerank",
    "cohere_chat": "/v2/chat",
    "cohere_embed": "/v2/embed",
    "cohere_rerank": "/v2/rerank",
}
"""Where a client of each API that names the model in its body finds it below the gateway's URL."""


class Sent(msgspec.Struct):
    """A request as the caller sends it. `hides` says that usage is asked for, and taken out of the reply."""

    call: Call
    way: Way
    name: str
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    hides: bool

    def head(self, mark: str) -> tuple[bytes, bytes]:
        """Return the request's head, and its body in the framing that the head tells."""
        target = f"{self.path}?{self.query}" if self.query else self.path
        lines = [f"{self.method} {target} HTTP/1.1", "host: gateway.test", f"{MARK.decode()}: {mark}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        body = self.body
        if self.call.seed % 7 == 0:
            half = len(body) // 2 + 1
            pieces = [piece for piece in (body[:half], body[half:]) if piece]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            lines.append("transfer-encoding: chunked")
        else:
            lines.append(f"content-length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1"), body


def send(call: Call, name: str, way: Way) -> Sent:
    """Return the request that this call's client makes for a model of this name."""
    left = (*KEYS, "content-length", "host", MARK.decode())
    headers = [(key, value) for key, value in call.headers if key not in left]
    if not any(key == "content-type" for key, _ in headers):
        headers.append(("content-type", "application/json"))
    query = call.query
    key, value = _key(call)
    if key == "query":
        query = "&".join([*([query] if query else []), f"key={GATEWAY_KEY}"])
    else:
        headers.append((key, value))
    headers += JUNK
    if way == "through":
        body = call.form if call.form is not None else written(call, call.table or {})
        path = f"/{call.place.name}{_written_path(call)}"
        return Sent(call, way, call.model, call.method, path, query, headers, body, hides=False)
    hides = (
        call.operation in ("chat", "completions")
        and (call.table or {}).get("stream") is True
        and not call.asks_usage
        and call.place.row not in ALWAYS_REPORT
    )
    return Sent(call, way, name, call.method, _path(call, name), query, headers, _body(call, name), hides)


def _key(call: Call) -> tuple[str, str]:
    """Return the header that this client puts its key into, or `query`."""
    if call.place.row == "bedrock" and call.seed % 2:
        signed = "20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=0"
        return "authorization", f"AWS4-HMAC-SHA256 Credential={GATEWAY_KEY}/{signed}"
    theirs = KEY_HEADERS.get(call.place.row, "authorization")
    name = call.key_in or (theirs if theirs in KEYS else "authorization")
    return name, f"Bearer {GATEWAY_KEY}" if name == "authorization" else GATEWAY_KEY


def _in_path(call: Call) -> bool:
    """Whether the client writes the model into the path."""
    return call.operation not in OPENAI_PATHS or (call.place.row == "azure" and "/deployments/" in call.path)


def _written_path(call: Call) -> str:
    """Return the recorded path as a client may send it: what must not stand in one is encoded."""
    return call.path.replace("<", "%3C").replace(">", "%3E").replace("{", "%7B").replace("}", "%7D")


def _path(call: Call, name: str) -> str:
    if call.path == "/openai/responses" and call.place.row == "azure":
        return call.path
    if not _in_path(call):
        return OPENAI_PATHS[call.operation]
    path = _written_path(call).removeprefix(call.place.base)
    start = next(path.index(mark) + len(mark) for mark in ("/deployments/", "/models/", "/model/") if mark in path)
    end = path.find(":", start) if "/models/" in path else path.find("/", start)
    # Most clients encode a slash in a name; some write it as it is.
    plain = call.seed % 4 == 0 and name.isascii() and re.fullmatch(r"[\w./-]+", name)
    return ("/" if call.slashes else "") + path[:start] + (name if plain else encoded(name)) + path[end:]


def _body(call: Call, name: str) -> bytes:
    if call.form is not None:
        return renamed_form(call.form, call.model, name)
    assert call.table is not None
    return written(call, _renamed(call, call.table, name))


def _renamed(call: Call, table: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a body with another model wherever its client writes it."""
    if call.place.row == "vertex" and call.operation == "messages":
        return {key: value for key, value in table.items() if key != "anthropic_version"} | {"model": name}
    if not _in_path(call):
        return table | {"model": name}
    if call.place.row == "azure":
        return table | ({"model": name} if table.get("model") == call.model else {})
    if call.place.row == "bedrock":
        return table  # what is invoked is the maker's own body
    table = dict(table)
    if isinstance(table.get("model"), str):
        table["model"] = _with_prefix(table["model"], name)
    if call.operation == "batch_embed_contents":
        requests = table.get("requests") or []
        table["requests"] = [
            each | ({"model": _with_prefix(each["model"], name)} if "model" in each else {}) for each in requests
        ]
    inner = table.get("generateContentRequest")
    if call.operation == "gemini_count_tokens" and inner and "model" in inner:
        table["generateContentRequest"] = inner | {"model": _with_prefix(inner["model"], name)}
    return table


def _with_prefix(old: str, name: str) -> str:
    return f"models/{name}" if old.startswith("models/") else name


# what upstream gets


def check_asked(sent: Sent, asked: Asked, host: str) -> None:
    """Assert that upstream got the recorded request, apart from what is declared."""
    call = sent.call
    assert asked.method == sent.method
    path, _, query = asked.target.partition("?")
    _check_path(sent, path)
    _check_query(sent, query)
    _check_headers(sent, asked, host)
    whole = f"{asked.target}\n{asked.headers}".encode() + asked.body
    assert GATEWAY_KEY.encode() not in whole, "the caller's key left"
    declare("key")
    if sent.name.encode() != call.model.encode() and sent.way == "own":
        assert encoded(sent.name) not in asked.target
    _check_body(sent, asked.body)


def _check_path(sent: Sent, path: str) -> None:
    call = sent.call
    expected = call.path
    if call.slashes:
        declare("double slash")
    if sent.way == "own":
        if newer(call) != expected:
            declare("path version")
            expected = newer(call)
        assert decoded(path) == decoded(expected)
        if path != expected:
            declare("path encoding")
            assert encoded(call.model) in path
    else:
        assert path == _written_path(call)


def newer(call: Call) -> str:
    """Return the recorded path, at the version that the provider's row has."""
    if call.place.row == "azure" and call.path == "/openai/responses":
        return "/openai/v1/responses"
    if call.place.row == "vertex":
        version = "/v1beta1/" if call.operation in GEMINI_S else "/v1/"
        return re.sub("^/(v1|v1beta1)/", version, call.path)
    return call.path


def _check_query(sent: Sent, query: str) -> None:
    call = sent.call
    expected = call.query
    if sent.way == "own" and call.place.row == "azure":
        if "/deployments/" in call.path and not expected:
            declare("api-version")
            expected = f"api-version={CATALOG['azure'].options['api_version'].default}"
        elif "/deployments/" not in call.path and expected:
            declare("api-version")
            expected = ""
    assert query == expected


def _check_headers(sent: Sent, asked: Asked, host: str) -> None:
    call = sent.call
    got = [(name, value) for name, value in asked.headers if name != MARK.decode()]
    names = [name for name, _ in got]
    assert len(names) == len(set(names)), "a header was sent twice"
    fields = dict(got)
    assert fields["host"] == host
    assert fields["user-agent"].startswith("portico/")
    assert fields["accept-encoding"] == "identity"
    signed = _check_key(call, asked, fields)
    for name in (*OWN_REQUEST, *signed):
        fields.pop(name, None)
    expected = {name: value for name, value in sent.headers if goes_on(name)}
    if len(expected) < len(sent.headers):
        declare("request headers")
    for name, value in DEFAULTS.get(call.place.row, {}).items():
        if name not in expected:
            declare("default header")
            expected[name] = value
    assert fields == expected


def _check_key(call: Call, asked: Asked, fields: dict[str, str]) -> tuple[str, ...]:
    """Assert that the provider's key is where the provider wants it; return the headers that are its."""
    place = call.place
    if place.row == "bedrock" and not place.name.endswith("_bearer"):
        _check_signature(call, asked, fields)
        return "authorization", "x-amz-date", "x-amz-content-sha256"
    name = KEY_HEADERS.get(place.row, "authorization")
    assert fields[name] == (f"Bearer {place.key}" if name == "authorization" else place.key)
    return (name,)


def _check_signature(call: Call, asked: Asked, fields: dict[str, str]) -> None:
    """Assert that AWS would compute the same signature: botocore does it here."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/us-east-1/bedrock/aws4_request, ?"
        r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
        fields["authorization"],
    )
    assert found is not None, fields["authorization"]
    key, day, names, signature = found.groups()
    assert key == call.place.key
    assert fields["x-amz-date"].startswith(day)
    signer = SigV4Auth(Credentials(key, f"secret-of-{call.place.name}"), "bedrock", "us-east-1")
    request = AWSRequest(asked.method, f"http://{fields['host']}{asked.target}", data=asked.body)
    for name in names.split(";"):
        request.headers[name] = fields[name]
    request.context["timestamp"] = fields["x-amz-date"]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert signer.signature(text, request) == signature


_ASKED = re.compile(rb'"stream_options":{"include_usage":true}, ?')


def _check_body(sent: Sent, body: bytes) -> None:
    call = sent.call
    if sent.way == "through":
        assert body == sent.body
        return
    if sent.name != call.model:
        declare("model name")
    if call.form is not None:
        assert body == call.form
        return
    assert call.table is not None
    table = call.table
    same_bytes = not (_in_path(call) and call.place.row in ("gemini", "vertex"))  # which repeat the model inside
    if call.place.row == "vertex" and call.operation == "messages":
        declare("Vertex's messages")
        same_bytes = False
    if call.place.row == "azure" and _in_path(call) and table.get("model") != call.model:
        declare("model of a deployment")
        table = table | {"model": call.model}
        same_bytes = False
    if sent.hides:
        declare("include_usage")
        same_bytes = same_bytes and "stream_options" not in table
        table = table | {"stream_options": (table.get("stream_options") or {}) | {"include_usage": True}}
        body = body if not same_bytes else _ASKED.sub(b"", body, count=1)
        table = table if not same_bytes else call.table
    assert json.loads(body) == json.loads(written(call, table))
    if same_bytes:
        assert body == written(call, table)


# what the caller gets


def check_got(sent: Sent, got: Got, *, streams: bool | None) -> None:
    """Assert that the caller got the recorded reply, apart from what is declared.

    `streams` says whether it has to come as it came from upstream; None where either will do.
    """
    call = sent.call
    reply = call.reply
    assert got.status == reply.status
    expected = [(name, value.strip()) for name, value in reply.headers if comes_back(name)]
    assert [(name, value) for name, value in got.headers if name not in OWN_REPLY] == expected
    own = {name: value for name, value in got.headers if name in OWN_REPLY}
    assert len(own) == sum(name in OWN_REPLY for name, _ in got.headers)
    assert own.keys() >= {"x-request-id", "x-portico-target", "x-portico-attempts", "x-portico-overhead-us", "date"}
    assert own["x-request-id"] != dict(reply.headers).get("x-request-id")
    assert own["x-portico-attempts"] == "1"
    declare("reply headers")
    body = reply.body
    if sent.hides and reply.status < 400:
        body = without_usage(body)
        if body != reply.body:
            declare("hidden usage")
    if streams and call.streaming and not ended(call):
        declare("broken stream")
        assert got.body.startswith(body)
        assert b"ended its stream before the reply was complete" in got.body[len(body) :]
        assert got.ended == "cut"
        return
    assert got.body == body
    assert got.ended in (("chunks",) if streams else ("chunks", "length") if streams is None else ("length",))


ENDS = {
    "chat": rb'data: ?\[DONE\]|"finish_reason": ?"',
    "completions": rb'data: ?\[DONE\]|"finish_reason": ?"',
    "responses": rb'"type": ?"(?:response\.(?:completed|incomplete|failed)|error)"',
    "messages": rb'"type": ?"(?:message_stop|error)"',
    "converse_stream": rb"metadata|exception",
    "invoke_stream": rb"",
    "cohere_chat": rb'"type": ?"message-end"',
    "stream_generate_content": rb"\}\s*\]?\s*\Z",
}
"""What stands in a stream that has come to its end, or reports an error. Bedrock's own mark is inside base64."""
_FAILED = re.compile(rb'"error": ?[{"]')


def ended(call: Call) -> bool:
    """Whether a recorded stream came to the end that its dialect has."""
    body = call.reply.body
    mark = ENDS.get(call.operation, rb'"type": ?"[a-z_.]+\.(?:done|completed)"|data: ?\[DONE\]')
    return re.search(mark, body) is not None or _FAILED.search(body) is not None


_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)
_NULL = re.compile(rb',"usage":null')


def without_usage(body: bytes) -> bytes:
    """Take out of a stream what a caller did not ask for: events that are there for usage alone, and null usage."""
    events = []
    for event in _EVENT.findall(body):
        document = _document(event)
        if isinstance(document, dict) and document.get("usage") and document.get("choices") == []:
            continue
        events.append(_NULL.sub(b"", event))
    return b"".join(events)


def _document(event: bytes) -> Any:
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    try:
        return json.loads(b"\n".join(lines))
    except ValueError:
        return None


# what is recorded of it


def check_record(sent: Sent, record: Record, usage: dict[str, Any] | None, *, failed: bool) -> None:
    """Assert that the record of a call says what the recording does."""
    call = sent.call
    assert record.model == sent.name
    assert record.target == f"{call.place.name}/{call.model}"
    assert record.operation == call.operation
    _check_outcome(call, record)
    if record.basis in ("counted", "estimated"):
        assert call.streaming
        assert usage is None or failed or not ended(call)
    else:
        assert summary(record.usage) == usage
    if call.streaming and record.error == "upstream_connection_lost":
        assert not ended(call)
    elif call.reply.status < 400:
        assert record.error == ("upstream_failed" if failed else None)
        goes_on = record.usage is None and bool((call.table or {}).get("background"))  # what it uses is its job's
        assert record.basis == "none" if goes_on else (record.basis == "unknown") is (record.usage is None)


def check_passed(sent: Sent, record: Record) -> None:
    """Assert that the record of a call that passed through says what the recording does."""
    named = record.target or ""
    assert named.split("/")[0] == sent.call.place.name
    assert named == (f"{sent.call.place.name}/{record.model}" if record.model else sent.call.place.name)
    _check_outcome(sent.call, record)


def _check_outcome(call: Call, record: Record) -> None:
    assert record.key == "replayed"
    assert record.status == call.reply.status
    (attempt,) = record.attempts
    assert attempt.status == call.reply.status
    assert (record.error == "upstream_status") is (call.reply.status >= 400)
    assert record.usage is None or call.reply.status < 400


def summary(usage: Usage | None) -> dict[str, Any] | None:
    """Return what the slow reader also reads of a call's usage."""
    if usage is None:
        return None
    return {
        "in": usage.input_total,
        "out": usage.output_total,
        "read": usage.cache_read,
        "cost": usage.reported_cost,
        "seconds": usage.seconds,
        "images": usage.images,
        "characters": usage.characters,
    }
