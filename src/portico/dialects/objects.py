"""What lives at a provider after a call has ended: files, batches, jobs, stored responses; every call about them.

Each line of the table is one call: its name, method and path, what the ids in the path are of, and what it does. The
APIs are OpenAI's (platform.openai.com/docs/api-reference: files, batch, fine-tuning, responses, conversations),
Anthropic's (docs.anthropic.com/en/api: files, creating-message-batches) and Gemini's (ai.google.dev/api: files,
caching, batch-api), read 2026-11-20.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote

import msgspec

from portico.dialects.operation import Body, Operation
from portico.dialects.tokens import UNREADABLE
from portico.errors import InvalidRequest, MethodNotAllowed, NotFound
from portico.types import Dialect

Does = Literal["create", "list", "get", "delete", "act", "part"]
"""`part` reads what belongs to an object (its content, its events); `act` changes it."""

LONGEST_ID = 512
"""Characters of an id."""
MOST_LISTED = 100
"""Objects on one page of a list."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of object. `at` is where callers find it, below the version.

    `made` is where a reply has the id of what was made, `names` what stands before an id in the dialect's own names.
    `listed` is what Gemini calls the objects on a page, where that is not `at`.
    """

    dialect: Dialect
    at: str
    kind: str
    made: tuple[str, ...] = ("id",)
    names: str = ""
    listed: str = ""


FAMILIES: Mapping[str, Family] = {
    "files": Family(dialect="chat", at="files", kind="file"),
    "batches": Family(dialect="chat", at="batches", kind="batch"),
    "fine_tuning": Family(dialect="chat", at="fine_tuning/jobs", kind="fine_tuning_job"),
    "responses": Family(dialect="responses", at="responses", kind="response"),
    "conversations": Family(dialect="responses", at="conversations", kind="conversation"),
    "message_batches": Family(dialect="messages", at="messages/batches", kind="message_batch"),
    "message_files": Family(dialect="messages", at="files", kind="message_file"),
    "gemini_files": Family(dialect="gemini", at="files", kind="gemini_file", made=("file", "name"), names="files/"),
    "cached_contents": Family(
        dialect="gemini", at="cachedContents", kind="cached_content", made=("name",), names="cachedContents/"
    ),
    "gemini_batches": Family(
        dialect="gemini", at="batches", kind="gemini_batch", made=("name",), names="batches/", listed="operations"
    ),
}
"""What a provider of the catalog may have (its `objects`)."""


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """One call about objects.

    `path` follows where the family is; `{id}` stands for the object, `{part}` for a part of it, and `{model}` for what
    something is made with, which Gemini says beside where the family is (`models/…:batchGenerateContent`). `refers` are
    members of the body that name other objects, with their families. `bills` is true where the provider asks money for
    it.
    """

    operation: Operation
    method: str
    family: str
    path: str
    does: Does
    refers: Mapping[str, str] = {}
    bills: bool = False

    @property
    def kind(self) -> str:
        """What the id in the path is of, or what is made or listed."""
        return FAMILIES[self.family].kind


def _thing(name: str, family: str, call: str, does: Does, body: Body = "none", **more: Any) -> Thing:
    method, _, path = call.partition(" ")
    dialect = FAMILIES[family].dialect
    upload = body in ("multipart", "binary")
    operation = Operation(name=name, dialect=dialect, body=body, model_in="none", upload=upload)
    return Thing(operation=operation, method=method, family=family, path=path, does=does, **more)


_INPUT = {"input_file_id": "files"}
_TRAINING = {"training_file": "files", "validation_file": "files"}
_CHAT = (
    _thing("files_create", "files", "POST", "create", "multipart"),
    _thing("files_list", "files", "GET", "list"),
    _thing("files_get", "files", "GET /{id}", "get"),
    _thing("files_delete", "files", "DELETE /{id}", "delete"),
    _thing("files_content", "files", "GET /{id}/content", "part"),
    _thing("batches_create", "batches", "POST", "create", "json", refers=_INPUT, bills=True),
    _thing("batches_list", "batches", "GET", "list"),
    _thing("batches_get", "batches", "GET /{id}", "get"),
    _thing("batches_cancel", "batches", "POST /{id}/cancel", "act"),
    _thing("fine_tuning_create", "fine_tuning", "POST", "create", "json", refers=_TRAINING, bills=True),
    _thing("fine_tuning_list", "fine_tuning", "GET", "list"),
    _thing("fine_tuning_get", "fine_tuning", "GET /{id}", "get"),
    _thing("fine_tuning_events", "fine_tuning", "GET /{id}/events", "part"),
    _thing("fine_tuning_checkpoints", "fine_tuning", "GET /{id}/checkpoints", "part"),
    _thing("fine_tuning_cancel", "fine_tuning", "POST /{id}/cancel", "act"),
    _thing("fine_tuning_pause", "fine_tuning", "POST /{id}/pause", "act"),
    _thing("fine_tuning_resume", "fine_tuning", "POST /{id}/resume", "act"),
    _thing("responses_get", "responses", "GET /{id}", "get"),
    _thing("responses_delete", "responses", "DELETE /{id}", "delete"),
    _thing("responses_cancel", "responses", "POST /{id}/cancel", "act"),
    _thing("responses_input_items", "responses", "GET /{id}/input_items", "part"),
    _thing("conversations_create", "conversations", "POST", "create", "json"),
    _thing("conversations_get", "conversations", "GET /{id}", "get"),
    _thing("conversations_update", "conversations", "POST /{id}", "act", "json"),
    _thing("conversations_delete", "conversations", "DELETE /{id}", "delete"),
    _thing("conversation_items_list", "conversations", "GET /{id}/items", "part"),
    _thing("conversation_items_create", "conversations", "POST /{id}/items", "act", "json"),
    _thing("conversation_items_get", "conversations", "GET /{id}/items/{part}", "part"),
    _thing("conversation_items_delete", "conversations", "DELETE /{id}/items/{part}", "act"),
)
_MESSAGES = (
    _thing("message_batches_create", "message_batches", "POST", "create", "json", bills=True),
    _thing("message_batches_list", "message_batches", "GET", "list"),
    _thing("message_batches_get", "message_batches", "GET /{id}", "get"),
    _thing("message_batches_results", "message_batches", "GET /{id}/results", "part"),
    _thing("message_batches_cancel", "message_batches", "POST /{id}/cancel", "act"),
    _thing("message_batches_delete", "message_batches", "DELETE /{id}", "delete"),
    _thing("message_files_create", "message_files", "POST", "create", "multipart"),
    _thing("message_files_list", "message_files", "GET", "list"),
    _thing("message_files_get", "message_files", "GET /{id}", "get"),
    _thing("message_files_delete", "message_files", "DELETE /{id}", "delete"),
    _thing("message_files_content", "message_files", "GET /{id}/content", "part"),
)
_GEMINI = (
    _thing("gemini_files_list", "gemini_files", "GET", "list"),
    _thing("gemini_files_get", "gemini_files", "GET /{id}", "get"),
    _thing("gemini_files_delete", "gemini_files", "DELETE /{id}", "delete"),
    _thing("cached_contents_create", "cached_contents", "POST", "create", "json", bills=True),
    _thing("cached_contents_list", "cached_contents", "GET", "list"),
    _thing("cached_contents_get", "cached_contents", "GET /{id}", "get"),
    _thing("cached_contents_update", "cached_contents", "PATCH /{id}", "act", "json"),
    _thing("cached_contents_delete", "cached_contents", "DELETE /{id}", "delete"),
    _thing("gemini_batches_list", "gemini_batches", "GET", "list"),
    _thing("gemini_batches_get", "gemini_batches", "GET /{id}", "get"),
    _thing("gemini_batches_cancel", "gemini_batches", "POST /{id}:cancel", "act"),
    _thing("gemini_batches_update", "gemini_batches", "PATCH /{id}:updateGenerateContentBatch", "act", "json"),
    _thing("gemini_embeddings_batches_update", "gemini_batches", "PATCH /{id}:updateEmbedContentBatch", "act", "json"),
    _thing("gemini_batches_delete", "gemini_batches", "DELETE /{id}", "delete"),
)
_MADE_WITH = {
    verb: _thing(name, "gemini_batches", f"POST /models/{{model}}:{verb}", "create", "json", bills=True)
    for verb, name in (
        ("batchGenerateContent", "gemini_batches_create"),
        ("asyncBatchEmbedContent", "gemini_embeddings_batches_create"),
    )
}
"""What is made with a model that the path names, by what stands behind it there."""
UPLOAD = _thing("gemini_files_create", "gemini_files", "POST", "create", "binary")
"""Gemini's upload: its first step begins one and says where the others go, with an id of its own in the query."""

THINGS: Mapping[str, Thing] = {
    thing.operation.name: thing for thing in (*_CHAT, *_MESSAGES, *_GEMINI, *_MADE_WITH.values(), UPLOAD)
}
"""Every call about objects, by its name."""

Pattern = tuple[str, ...]
_Table = dict[Pattern, dict[str, Thing]]


def _table(things: Sequence[Thing]) -> _Table:
    table: _Table = {}
    for thing in things:
        parts = (FAMILIES[thing.family].at + thing.path).split("/")
        table.setdefault(tuple(map(_segment, parts)), {})[thing.method] = thing
    return table


def _segment(part: str) -> str:
    """Return what a segment of a path is looked up by: an id, with or without what is to be done to it, or itself."""
    return f"*{part.partition('}')[2]}" if part.startswith("{") else part


_ALONE = tuple(thing for thing in (*_MESSAGES, *_GEMINI) if FAMILIES[thing.family].at != "files")
_OPENAI = _table((*_ALONE, *_CHAT))
_GOOGLE = _table(_GEMINI)


def _twins(things: Sequence[Thing]) -> Mapping[str, Thing]:
    return {
        _OPENAI[pattern][method].operation.name: thing
        for pattern, methods in _table(things).items()
        for method, thing in methods.items()
        if pattern[0] in ("files", "batches")
    }


_TWINS: Mapping[Dialect, Mapping[str, Thing]] = {"messages": _twins(_MESSAGES), "gemini": _twins(_GEMINI)}
_OPENAI_ROOTS = frozenset(pattern[0] for pattern in _OPENAI)
_GOOGLE_ROOTS = frozenset(pattern[0] for pattern in _GOOGLE)


class Found(msgspec.Struct, frozen=True):
    """A call about objects: which, and the ids in its path, decoded (of an object, and of a part of it).

    `model` is what its path says that something is to be made with.
    """

    thing: Thing
    ids: tuple[str, ...] = ()
    model: str = ""


_GOOGLES = ("v1beta", "v1", "v1alpha")


def find(method: str, path: str) -> Found | None:
    """Return which call about objects a method and a path are, None for none.

    Raises MethodNotAllowed for a known path with another method, InvalidRequest for an id that cannot be one.
    """
    parts = path[1:].split("/")
    first = parts[0]
    if first == "upload":
        if len(parts) != 3 or parts[1] not in _GOOGLES or parts[2] != "files":
            return None
        if method != "POST":
            raise MethodNotAllowed(f"{path} is called with POST, not {method}")
        return Found(UPLOAD)
    if first in _GOOGLES and len(parts) > 2 and parts[1] == "models" and ":" in unquote(parts[-1]):
        return _made_with(method, path, "/".join(parts[2:]))
    if first in ("v1beta", "v1alpha"):
        return _found(method, path, parts[1:], _GOOGLE) if len(parts) > 1 and parts[1] in _GOOGLE_ROOTS else None
    if first in ("v1", "openai"):
        parts = parts[1:]
    return _found(method, path, parts, _OPENAI) if parts and parts[0] in _OPENAI_ROOTS else None


def _made_with(method: str, path: str, rest: str) -> Found | None:
    """Read `{model}:batchGenerateContent` and its like."""
    model, _, verb = unquote(rest).rpartition(":")
    thing = _MADE_WITH.get(verb)
    if thing is None:
        return None
    if method != thing.method:
        raise MethodNotAllowed(f"{path} is called with {thing.method}, not {method}")
    if not model or not model.isprintable() or len(model) > LONGEST_ID:
        raise InvalidRequest(f"the model {model[:LONGEST_ID]!r} in the path cannot be one", param="model")
    return Found(thing, (), model)


def heard(found: Found, dialect: Dialect) -> Found:
    """Return the call as its caller's dialect has it: OpenAI, Anthropic and Gemini keep files at the same paths."""
    twin = _TWINS[dialect].get(found.thing.operation.name) if dialect in _TWINS else None
    return Found(twin, found.ids, found.model) if twin is not None else found


def _found(method: str, path: str, parts: Sequence[str], table: _Table) -> Found | None:
    name, colon, verb = unquote(parts[-1]).rpartition(":")
    done = table.get((*parts[:-1], f"*:{verb}")) if colon else None
    if done is not None:
        if method not in done:
            raise MethodNotAllowed(f"{path} is called with {' or '.join(sorted(done))}, not {method}")
        return Found(done[method], (_id(quote(name, safe="")),))
    for pattern in _patterns(len(parts)):
        known = tuple("*" if here == "*" else part for here, part in zip(pattern, parts, strict=True))
        methods = table.get(known)
        if methods is None:
            continue
        thing = methods.get(method)
        if thing is None:
            raise MethodNotAllowed(f"{path} is called with {' or '.join(sorted(methods))}, not {method}")
        return Found(thing, tuple(_id(part) for here, part in zip(pattern, parts, strict=True) if here == "*"))
    return None


_SHAPES: Mapping[int, Sequence[Pattern]] = {
    size: sorted(
        {
            tuple("*" if part == "*" else "" for part in pattern)
            for table in (_OPENAI, _GOOGLE)
            for pattern in table
            if len(pattern) == size
        },
        key=lambda shape: shape.count("*"),
    )
    for size in range(1, 6)
}
"""Where ids may stand in paths of so many parts; paths without one come first."""


def _patterns(size: int) -> Sequence[Pattern]:
    return _SHAPES.get(size, ())


def _id(encoded: str) -> str:
    try:
        found = unquote(encoded, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the id {encoded!r} in the path is not UTF-8") from error
    if not sound(found):
        raise InvalidRequest(f"the id {encoded[:LONGEST_ID]!r} in the path cannot be one")
    return found


def sound(name: str) -> bool:
    """Return whether a text can be an id: one segment of a path, of characters that can be told."""
    return 0 < len(name) <= LONGEST_ID and name.isprintable() and "/" not in name and name not in (".", "..")


def missing(thing_kind: str, name: str) -> NotFound:
    """Return the error for an object that is not there, or is not its asker's: nobody can tell which."""
    return NotFound(f"there is no {thing_kind.replace('_', ' ')} {name!r} here", param="id")


# replies


_reply = msgspec.json.Decoder()


def made_id(thing: Thing, body: bytes) -> str | None:
    """Return the id of what a reply says was made, None where it says none."""
    value = _value(body)
    for name in FAMILIES[thing.family].made:
        value = value.get(name) if isinstance(value, dict) else None
    return bare(thing, value) if isinstance(value, str) else None


def bare(thing: Thing, name: str) -> str | None:
    """Return an id without what stands before it in the dialect's names, None for what cannot be an id."""
    found = name.removeprefix(FAMILIES[thing.family].names)
    return found if sound(found) else None


def output_files(thing: Thing, body: bytes) -> list[str]:
    """Return the files that a batch or a fine-tuning job says it has written: they are its owner's."""
    if thing.family not in ("batches", "fine_tuning"):
        return []
    value = _value(body)
    if not isinstance(value, dict):
        return []
    told = [value.get("output_file_id"), value.get("error_file_id")]
    results = value.get("result_files")
    if isinstance(results, list):
        told += results
    return [name for name in told if isinstance(name, str) and sound(name)]


def _value(body: bytes) -> Any:
    try:
        return _reply.decode(body)
    except UNREADABLE:
        return None


# lists


class Page(msgspec.Struct, frozen=True):
    """What part of a list is asked for: at most `size`, after or before an id, newest first unless `ascending`.

    `purpose` and `only` (ids) narrow it, where they are not empty.
    """

    size: int
    after: str = ""
    before: str = ""
    ascending: bool = False
    purpose: str = ""
    only: frozenset[str] = frozenset()


_USUAL = {"chat": 20, "messages": 20, "gemini": 10}


def page_asked(thing: Thing, query: str) -> Page:
    """Read the query of a list. Raises InvalidRequest for one that makes no sense."""
    pairs = parse_qsl(query)
    asked = dict(pairs)
    dialect = thing.operation.dialect
    name = "pageSize" if dialect == "gemini" else "limit"
    usual = MOST_LISTED if thing.kind == "file" else _USUAL[dialect]
    size = usual
    if name in asked:
        written = asked[name]
        if not (written.isascii() and written.isdigit() and len(written) < 8):
            raise InvalidRequest(f"`{name}` must be a whole number", param=name)
        size = int(written) or (usual if dialect == "gemini" else 0)
        if not size:
            raise InvalidRequest(f"`{name}` must be above zero", param=name)
    if dialect == "gemini":
        return Page(min(size, MOST_LISTED), after=asked.get("pageToken", ""))
    if dialect == "messages":
        after = asked.get("after_id") or asked.get("page", "").removeprefix("page_")
        only = frozenset(value for name, value in pairs if name in ("ids", "ids[]"))
        return Page(min(size, MOST_LISTED), after=after, before=asked.get("before_id", ""), only=only)
    return Page(
        min(size, MOST_LISTED),
        after=asked.get("after", ""),
        ascending=asked.get("order") == "asc",
        purpose=asked.get("purpose", ""),
    )


def render_page(thing: Thing, here: Sequence[tuple[str, bytes]], following: str) -> bytes:
    """Write a page of a list: the objects with their ids, as their providers told them, in the dialect's frame.

    `following` is the id after which the next page begins, empty where there is none.
    """
    things = [msgspec.Raw(body.strip()) for _, body in here]
    if thing.operation.dialect == "gemini":
        family = FAMILIES[thing.family]
        page: dict[str, Any] = {family.listed or family.at: things} if things else {}
        return msgspec.json.encode({**page, **({"nextPageToken": following} if following else {})})
    ends: dict[str, Any] = {
        "first_id": here[0][0] if here else None,
        "last_id": following or (here[-1][0] if here else None),
        "has_more": bool(following),
    }
    if thing.operation.dialect == "messages":
        if thing.family == "message_files":  # its client pages by a cursor of its own
            ends["next_page"] = f"page_{following}" if following else None
        return msgspec.json.encode({"data": things, **ends})
    return msgspec.json.encode({"object": "list", "data": things, **ends})


_RESULTS = re.compile(rb'("results_url"\s*:\s*")https?://[^"/]*(/[^"]*")')


def led_here(thing: Thing, body: bytes, base: bytes) -> bytes:
    """Return a reply in which Anthropic's address of a batch's results is one here: its clients ask just there."""
    return _RESULTS.sub(rb"\g<1>" + base + rb"\g<2>", body) if thing.family == "message_batches" else body


def purpose_of(body: bytes) -> str:
    """Return what a file is for, as its provider told it."""
    value = _value(body)
    told = value.get("purpose") if isinstance(value, dict) else None
    return told if isinstance(told, str) else ""


def model_named(members: Mapping[str, msgspec.Raw]) -> str | None:
    """Return the model that a body names for what is to be made, without Gemini's `models/`."""
    found = text_of(members, "model")
    return found.removeprefix("models/") if found is not None else None


def text_of(members: Mapping[str, msgspec.Raw] | None, name: str) -> str | None:
    """Return a member that is a text, None where it is none."""
    raw = (members or {}).get(name)
    found = _value(bytes(raw)) if raw is not None else None
    return found if isinstance(found, str) else None
