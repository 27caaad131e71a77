"""Look into a request for what routing needs, and change the model in it, every other byte left as it is.

The top level of a JSON body is decoded once, its values kept raw: long messages are skipped, not read. Where a
member stands is found by comparing the body with these values, never by searching for its name.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from portico.compiled import mypyc_attr
from portico.dialects import multipart
from portico.dialects.members import CountedName, Members
from portico.dialects.operation import Operation
from portico.dialects.registry import SPOKEN
from portico.errors import InvalidRequest
from portico.framing.sse import BOM
from portico.marks import BACKSLASH, holds


@mypyc_attr(acyclic=True)
class Peek:
    """What a request says of itself.

    `include_usage` is true where the caller asked a stream for its usage. `user` is the end user that the caller
    names. `characters` is the length of the text to be spoken, which is what speech is billed by.
    `members` and `form` are for `rewrite`: the top level of a JSON body, or the parts of a form.
    """

    __slots__ = ("characters", "form", "include_usage", "members", "model", "stream", "user")

    def __init__(
        self,
        *,
        model: str | None = None,
        stream: bool = False,
        user: str | None = None,
        members: Members | None = None,
        form: multipart.Form | None = None,
    ) -> None:
        self.model = model
        self.stream = stream
        self.include_usage = False
        self.user = user
        self.characters = 0
        self.members = members
        self.form = form

    def __repr__(self) -> str:
        return f"<Peek at a request for {self.model!r}>"


LARGE: Final = 64 * 1024
MEMBERS_LIMIT: Final = 1000
"""Members that an object over LARGE bytes may have: a body of nothing but members would take seconds and gigabytes."""
TABLES_LIMIT: Final = 20_000
"""The same for the members of all objects in a list."""
BRACES_LIMIT: Final = 500_000
"""Objects in such a list, empty ones included, at any depth."""


_members: Final = msgspec.json.Decoder(Members)
_string: Final = msgspec.json.Decoder(str)
_json: Final = msgspec.json.Encoder().encode
_requests: Final = msgspec.json.Decoder(list[Members])
_ASK: Final = b'{"include_usage":true}'
_MODEL: Final = b'"model"'
_SCANNED: Final = 2048
"""Bytes of a body that are looked through for marks. It is faster to write a longer one anew and compare."""
_ESCAPED: Final = b"\\u006"
"""What every letter of `model` begins with where a key is written in escapes."""
_NULL: Final = msgspec.Raw(b"null")
_NAMED: Final = frozenset(name for name in SPOKEN if name not in ("gemini", "converse"))
_MODEL_IN_PATH: Final = frozenset(name for name, spoken in SPOKEN.items() if not spoken.model_in_body)
_SAYS: Final = frozenset(("stream", "stream_format", "input", "user", "metadata"))
"""Members that say more of a request than its model."""
_BOOLEANS: Final = {b"true": True, b"false": False, b"null": False}
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def peek(operation: Operation, body: bytes, content_type: bytes) -> Peek:
    """Look into a request. Raises InvalidRequest, naming the field where one is at fault."""
    if operation.body != "json":
        if operation.body != "multipart":
            return Peek()
        if content_type[:10].lower() == b"multipart/":
            return peek_form(body, content_type)
    try:
        members = _members.decode(body) if len(body) <= LARGE else _read(body)
    except _UNREADABLE:
        members = _decode(body)
    dialect = operation.dialect
    raw = members.get("model")
    model = None
    if raw is not None and dialect not in _MODEL_IN_PATH:
        # A deployment's path has said it: what the body says besides need not be a name.
        model = _model(raw) if operation.model_in == "body" else _text(raw)
    seen = Peek(model=model, members=members)
    if operation.streams != "path" and _SAYS.isdisjoint(members):
        return seen
    if operation.streams == "body":
        raw = members.get("stream")
        if raw is not None:
            seen.stream = _stream(raw)
            if "stream_options" in members:
                seen.include_usage = bytes(_options(members).get("include_usage", _NULL)) == b"true"
    elif operation.streams == "path":
        seen.stream = True
    if operation.name == "audio_speech":
        seen.stream = bytes(members.get("stream_format", _NULL)) == b'"sse"'
        seen.characters = len(_text(members.get("input", _NULL)) or "")
    if "user" in members:
        seen.user = _text(members["user"])
    elif dialect == "messages" and "metadata" in members:
        seen.user = _text(_object(members["metadata"]).get("user_id", _NULL))
    return seen


def peek_form(body: multipart.Buffer, content_type: bytes) -> Peek:
    """Look into a multipart form, which may be a mapped file. Raises InvalidRequest, naming the field at fault."""
    form = multipart.read(body, content_type)
    return Peek(
        model=form.text("model"),
        stream=(form.text("stream") or "").lower() in ("true", "1"),
        user=form.text("user"),
        form=form,
    )


def rewrite(operation: Operation, body: bytes, peek: Peek, *, model: str, ask_usage: bool) -> bytes:
    """Return the body with another model in it, and asking a stream for its usage where `ask_usage` is true.

    All else is kept byte for byte; the same object is returned when nothing changes. A body without a model gets
    one where its dialect writes it there. Every top-level `model` becomes this one where there are several.
    """
    if peek.form is not None:
        return body if peek.model == model else peek.form.replaced(body, "model", model)
    members = peek.members
    if members is None:
        return body
    if peek.model == model and not ask_usage and operation.dialect in _NAMED and _alone(body, members):
        return body
    inserts: list[bytes] = []
    changes: dict[str, bytes] = {}
    if operation.dialect == "gemini":
        changes = _gemini(operation, members, model)
    elif operation.dialect != "converse":
        if peek.model != model:
            if "model" in members:
                changes["model"] = _json(model)
            else:
                inserts.append(b'"model":' + _json(model))
        elif "model" in members and not _alone(body, members):
            changes["model"] = bytes(members["model"])  # there may be another, which some provider takes
    if ask_usage and not peek.include_usage:
        if "stream_options" in members:
            options = _options(members) | {"include_usage": msgspec.Raw(b"true")}
            changes["stream_options"] = msgspec.json.encode(options)
        else:
            inserts.append(b'"stream_options":' + _ASK)
    if not inserts and not changes:
        return body
    renamed = not inserts and len(changes) == 1 and "model" in changes
    scanned = renamed and len(body) <= _SCANNED
    found = _with_model(body, members, changes) if scanned else None
    found = found or _written(body, members, inserts, changes)
    if renamed and not scanned:
        found = found or _with_model(body, members, changes)
    found = found or _spliced(body, members, inserts, changes)
    return body if found == body else found


def _with_model(body: bytes, members: Members, changes: dict[str, bytes]) -> bytes | None:
    """Return the body with another model, if its key stands just once in it, in whatever place."""
    after = _once(body)
    if after < 0:
        return None
    value = bytes(members["model"])
    at = body.find(value, after)
    if at < 0 or body[after:at].strip(b" \t\r\n") != b":":
        return None
    return b"".join((body[:at], changes["model"], body[at + len(value) :]))


def _alone(body: bytes, members: Members) -> bool:
    """Return whether no other `model` may be read in the body than that of its members."""
    if len(body) > _SCANNED and _pieces(body, members) is not None:
        return True
    return _once(body) >= 0


def _once(body: bytes) -> int:
    """Return where the one `"model"` of a body ends; -1 where there is none, or may be another."""
    after = body.find(_MODEL) + len(_MODEL)
    if after < len(_MODEL) or body.find(_MODEL, after) >= 0 or (BACKSLASH in body and holds(body, _ESCAPED)):
        return -1
    return after


def _decode(body: bytes) -> Members:
    """Decode a body that begins with a byte order mark, or say why it cannot be."""
    try:
        try:
            return _read(body)
        except msgspec.DecodeError:
            if not body.startswith(BOM):
                raise
            return _read(body[len(BOM) :])
    except msgspec.ValidationError as error:
        raise InvalidRequest("the body must be a JSON object") from error
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}" if body else "the body is empty") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest("the body is not UTF-8") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error


def _read(raw: bytes | msgspec.Raw) -> Members:
    """Decode the top level of an object."""
    if memoryview(raw).nbytes <= LARGE:
        return _members.decode(raw)
    found = msgspec.json.Decoder(dict[CountedName, msgspec.Raw], dec_hook=_counter(MEMBERS_LIMIT)).decode(raw)
    return {str(name): value for name, value in found.items()}


def _read_list(raw: msgspec.Raw) -> list[Members]:
    """Decode the top levels of the objects in a list."""
    if memoryview(raw).nbytes <= LARGE:
        return _requests.decode(raw)
    if bytes(raw).count(b"{") > BRACES_LIMIT:
        raise InvalidRequest(f"a list of the body has more than {BRACES_LIMIT} objects")
    found = msgspec.json.Decoder(list[dict[CountedName, msgspec.Raw]], dec_hook=_counter(TABLES_LIMIT)).decode(raw)
    return [{str(name): value for name, value in table.items()} for table in found]


def _counter(limit: int) -> Callable[[type, str], CountedName]:
    """Return what is called for each key that is decoded, and raises InvalidRequest at one too many."""
    count = 0

    def name(_: type, written: str) -> CountedName:
        nonlocal count
        count += 1
        if count > limit:
            raise InvalidRequest(f"an object of the body has more than {limit} members")
        return CountedName(written)

    return name


def _model(raw: msgspec.Raw) -> str:
    try:
        model = _string.decode(raw)
    except _UNREADABLE as error:
        raise InvalidRequest("`model` must be a string", param="model") from error
    if not model:
        raise InvalidRequest("`model` must not be empty", param="model")
    return model


def _stream(raw: msgspec.Raw) -> bool:
    stream = _BOOLEANS.get(bytes(raw))
    if stream is None:
        raise InvalidRequest("`stream` must be true or false", param="stream")
    return stream


def _options(members: Members) -> Members:
    raw = members["stream_options"]
    if bytes(raw) == b"null":
        return {}
    try:
        return _read(raw)
    except _UNREADABLE as error:
        raise InvalidRequest("`stream_options` must be an object", param="stream_options") from error


def _text(raw: msgspec.Raw) -> str | None:
    """Return a string, None for anything else: a field that we only take note of fails no call."""
    try:
        return _string.decode(raw)
    except _UNREADABLE:
        return None


def _object(raw: msgspec.Raw) -> Members:
    try:
        return _read(raw)
    except _UNREADABLE:
        return {}


def _gemini(operation: Operation, members: Members, model: str) -> dict[str, bytes]:
    """Return what changes in a Gemini body: embedding and counting repeat the path's model inside it."""
    changes = {}
    if "model" in members and (other := _other_model(members["model"], model)):
        changes["model"] = other
    if operation.name == "batch_embed_contents" and "requests" in members:
        try:
            requests = _read_list(members["requests"])
        except _UNREADABLE as error:
            raise InvalidRequest("`requests` must be a list of objects", param="requests") from error
        if _renamed(requests, model):
            changes["requests"] = msgspec.json.encode(requests)
    if operation.name == "gemini_count_tokens" and "generateContentRequest" in members:
        inner = _object(members["generateContentRequest"])
        if _renamed([inner], model):
            changes["generateContentRequest"] = msgspec.json.encode(inner)
    return changes


def _renamed(tables: list[Members], model: str) -> bool:
    changed = False
    for table in tables:
        if "model" in table and (other := _other_model(table["model"], model)):
            table["model"] = msgspec.Raw(other)
            changed = True
    return changed


def _other_model(raw: msgspec.Raw, model: str) -> bytes | None:
    written = _text(raw)
    if written in (model, "models/" + model):
        return None
    bare = written is not None and not written.startswith("models/")
    return msgspec.json.encode(model if bare else "models/" + model)


def _written(body: bytes, members: Members, inserts: list[bytes], changes: dict[str, bytes]) -> bytes | None:
    """Return the changed body if the body is its members written without white space, or as Python writes it."""
    pieces = _pieces(body, members)
    if pieces is None:
        return None
    if changes:
        for at, name in enumerate(members):
            if name in changes:
                pieces[4 * at + 3] = changes[name]
    if inserts:
        comma = b', "' if pieces[2] == _SPACED else b',"'
        pieces[0] = b"".join((b"{", b",".join(inserts), comma))
    return b"".join(pieces)


def _pieces(body: bytes, members: Members) -> list[bytes | msgspec.Raw] | None:
    """Return what the body is made of, four pieces for each member and one more, if it is written in a usual way.

    What the members are written as is compared with the body, so this cannot be wrong; None where they differ.
    """
    if not members or len(body) > _WRITTEN_LIMIT:
        return None
    first = next(iter(members))
    spaced = body.startswith(b": ", len(first) + 3)
    head, colon, comma = b'{"', _SPACED if spaced else b'":', b', "' if spaced else b',"'
    pieces: list[bytes | msgspec.Raw] = []
    for name, raw in members.items():
        pieces += (head, name.encode(), colon, raw)
        head = comma
    pieces.append(b"}")
    return pieces if b"".join(pieces) == body else None


def _spliced(body: bytes, members: Members, inserts: list[bytes], changes: dict[str, bytes]) -> bytes:
    """Return the changed body, however it is written."""
    pieces = []
    at = 0
    if inserts:
        at = body.index(b"{") + 1
        pieces = [body[:at], b",".join(inserts), b"," if members else b""]
    for name, start, end in _spans(body, members, changes) if changes else ():
        pieces += (body[at:start], changes[name])
        at = end
    pieces.append(body[at:])
    return b"".join(pieces)


_WRITTEN_LIMIT: Final = 256 * 1024
_SPACED: Final = b'": '
# Possessive, so that a string of megabytes leaves nothing to go back to.
_KEY: Final = re.compile(rb'[\s,]*+"([^"\\]*+(?:\\.[^"\\]*+)*+)"\s*+:\s*+')
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]')
_END: Final = re.compile(rb"\s*}\s*")


def _spans(body: bytes, members: Members, wanted: dict[str, bytes]) -> list[tuple[str, int, int]]:
    """Return where the values of the wanted top-level members stand, in order: name, start and end.

    Walks from member to member, comparing each. Where the walk does not come out at the end of the body a key is
    written twice; then the body is read token by token.
    """
    spans = []
    view = memoryview(body)
    at = body.index(b"{") + 1
    for name, raw in members.items():
        key = _KEY.match(body, at)
        if key is None or (key[1] != name.encode() and not _same(key[1], name)):
            return _spans_of_repeated(body, wanted)
        start = key.end()
        at = start + memoryview(raw).nbytes
        if view[start:at] != memoryview(raw):
            return _spans_of_repeated(body, wanted)
        if name in wanted:
            spans.append((name, start, at))
    return spans if _END.fullmatch(body, at) is not None else _spans_of_repeated(body, wanted)


def _same(key: bytes, name: str) -> bool:
    return b"\\" in key and _text(msgspec.Raw(b'"' + key + b'"')) == name


def _spans_of_repeated(body: bytes, wanted: dict[str, bytes]) -> list[tuple[str, int, int]]:
    if len(body) > _WRITTEN_LIMIT:
        raise InvalidRequest("the body is large and writes a key twice")
    return _spans_by_token(body, wanted)


def _spans_by_token(body: bytes, wanted: dict[str, bytes]) -> list[tuple[str, int, int]]:
    """Return what `_spans` does, each occurrence of a key that is written more than once included."""
    names = wanted.keys()
    spans = []
    at = body.index(b"{") + 1
    while (key := _KEY.match(body, at)) is not None:
        depth = 0
        start = key.end()
        for token in _TOKEN.finditer(body, start):
            mark = token[0]
            if mark in b"[{":
                depth += 1
            elif mark in b"]}":
                depth -= 1
            if depth < 0 or (depth == 0 and mark == b","):
                at = token.start()
                break
        else:
            raise AssertionError("an object that was decoded has an end")
        name = _text(msgspec.Raw(b'"' + key[1] + b'"'))
        if name in names:
            spans.append((name, start, start + len(body[start:at].rstrip())))
    return spans
