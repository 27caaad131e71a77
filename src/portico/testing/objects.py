"""What the mock keeps: files, batches, jobs, stored replies, each for the key that made it, as accounts do.

A key sees its own and nothing else; what is another's is not there. Batches and jobs stay as they were made until
their time is up, or a test says otherwise, by `ObjectStore.end` or `of`.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects.models import style
from portico.dialects.objects import FAMILIES, Found, Thing, find, heard
from portico.testing.ask import CREATED, Request
from portico.testing.controls import PLAIN, Controls
from portico.testing.forms import fields
from portico.testing.jobs import (
    Answered,
    Ends,
    Pending,
    batch_of_gemini,
    batch_of_geminis,
    batch_of_messages,
    batch_of_openai,
    in_background,
    response,
    tuning,
    unanswered,
)
from portico.testing.shapes.errors import Refusal

Stored = dict[str, Any]
Reply = tuple[list[tuple[bytes, bytes]], bytes]

_JSON = (b"content-type", b"application/json")
_WHEN = "2026-10-09T10:40:00Z"
_CANCELLED: dict[str, Stored] = {
    "batches": {"status": "cancelling", "cancelling_at": CREATED},
    "fine_tuning": {"status": "cancelled", "finished_at": CREATED},
    "responses": {"status": "cancelled"},
    "message_batches": {"processing_status": "canceling", "cancel_initiated_at": _WHEN},
}
"""What each API says of a job that is asked to end."""
_FILENAME = re.compile(rb'filename="([^"]*)"')
_PAGE = 20


class ObjectStore:
    """The objects of every key of one mock."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[str, Stored]] = {}
        self._contents: dict[tuple[str, str, str], bytes] = {}
        self._uploads: dict[str, dict[str, Any]] = {}
        self._count = itertools.count(1)
        self._pending: dict[tuple[str, str, str], Pending] = {}
        self._now: Callable[[], float] = lambda: 0.0
        self._answered: Answered = unanswered

    def serve(self, now: Callable[[], float], answered: Answered) -> None:
        """Take the time by this clock, and answer the requests of batches so."""
        self._now, self._answered = now, answered

    def end(self, name: str, ends: Ends = "completed") -> None:
        """End a batch, a job or a background response, whosever it is."""
        (where,) = [where for where in self._pending if where[2] == name]
        self._pending.pop(where).finish(ends)

    def _run(self, key: str | None, family: str, name: str, pending: Pending, say: Controls) -> None:
        pending.at = None if say.job is None else self._now() + say.job
        pending.ends = say.ends
        self._pending[key or "", family, name] = pending

    def _ripen(self) -> None:
        now = self._now()
        for where, pending in list(self._pending.items()):
            if pending.at is not None and pending.at <= now:
                del self._pending[where]
                pending.finish(pending.ends)

    def clear(self) -> None:
        """Forget all of them."""
        self._kept.clear()
        self._contents.clear()
        self._uploads.clear()
        self._pending.clear()

    def of(self, key: str | None, family: str) -> dict[str, Stored]:
        """Return what a key has of a family, by id; a test may change it."""
        return self._kept.setdefault((key or "", family), {})

    def keep(self, key: str | None, family: str, name: str, content: bytes) -> None:
        """Put the content of a file, or the results of a batch."""
        self._contents[key or "", family, name] = content

    def continued(self, request: Request, key: str | None) -> Refusal | None:
        """Return why a request to Responses cannot go on with what it names, None where it can."""
        asked = _body(request.body)
        conversation = asked.get("conversation")
        named = conversation.get("id") if isinstance(conversation, dict) else conversation
        for member, family, name in (
            ("previous_response_id", "responses", asked.get("previous_response_id")),
            ("conversation", "conversations", named),
        ):
            if name is not None and name not in self.of(key, family):
                return Refusal(404, f"{member} {name!r} not found.", member)
        return None

    def store(self, request: Request, key: str | None, name: str, body: bytes, say: Controls = PLAIN) -> bytes | None:
        """Keep a reply of Responses, unless it was asked not to be; return what is said of one in the background."""
        asked = _body(request.body)
        if asked.get("store") is False:
            return None
        whole = _body(body)
        kept = self.of(key, "responses")[name] = whole
        if asked.get("background") is not True or say.job is None:
            return None
        kept = self.of(key, "responses")[name] = in_background(whole)
        self._run(key, "responses", name, response(kept, whole), say)
        return msgspec.json.encode(kept)

    def called(self, request: Request) -> Found | None:
        """Return which call about objects a request is, None for another one."""
        found = find(request.method, request.path)
        return None if found is None else heard(found, style(request.path, dict(request.headers)))

    def answer(
        self, request: Request, found: Found, key: str | None, base: str, say: Controls = PLAIN
    ) -> Reply | Refusal:
        """Answer a call about objects. `base` is the mock's own URL."""
        self._ripen()
        thing = found.thing
        if thing.operation.name == "gemini_files_create":
            return self._upload(request, key, base)
        mine = self.of(key, thing.family)
        if not found.ids:
            if thing.does == "list":
                return [_JSON], msgspec.json.encode(_page(thing, mine))
            return self._create(request, found, key, base, say)
        name = found.ids[0]
        stored = mine.get(name)
        if stored is None:
            status = 403 if thing.family == "cached_contents" else 404
            return Refusal(status, f"No such {thing.kind.replace('_', ' ')}: {name}", "id")
        return self._about(request, found, key, stored, say)

    def _about(self, request: Request, found: Found, key: str | None, stored: Stored, say: Controls) -> Reply | Refusal:
        thing, name = found.thing, found.ids[0]
        mine = self.of(key, thing.family)
        call = thing.operation.name
        if thing.does == "get":
            if thing.family == "responses" and "stream=true" in request.query:
                events = [{"type": f"response.{what}", "response": stored} for what in ("created", "completed")]
                told = [b"data: " + msgspec.json.encode({**one, "sequence_number": n}) for n, one in enumerate(events)]
                return [(b"content-type", b"text/event-stream")], b"\n\n".join([*told, b""])
            return [_JSON], msgspec.json.encode(stored)
        if thing.does == "delete":
            del mine[name]
            return [_JSON], msgspec.json.encode(_deleted(thing, name))
        if call.endswith("_cancel"):
            stored.update(_CANCELLED.get(thing.family, {}))
            pending = self._pending.get((key or "", thing.family, name))
            if pending is not None and (pending.at is not None or say.job is not None):
                pending.at, pending.ends = self._now() + (say.job or 0.0), "cancelled"
            return [_JSON], b"{}" if thing.family == "gemini_batches" else msgspec.json.encode(stored)
        if thing.does == "act":
            stored.update(_body(request.body))
            return [_JSON], msgspec.json.encode(stored)
        if call.endswith(("_content", "_results")):
            content = self._contents.get((key or "", thing.family, name))
            if content is None:
                return Refusal(404, f"{name} has no content.")
            kind = b"application/octet-stream" if call.endswith("_content") else b"application/x-jsonl"
            return [(b"content-type", kind)], content
        inner = stored.get("_input", [])
        return [_JSON], msgspec.json.encode({"object": "list", "data": inner, "has_more": False})

    def _create(self, request: Request, found: Found, key: str | None, base: str, say: Controls) -> Reply | Refusal:
        thing = found.thing
        number = next(self._count)
        if thing.operation.body == "multipart":
            return self._file(request, thing, key, number)
        asked = _body(request.body)
        for member, family in thing.refers.items():
            if member in asked and asked[member] not in self.of(key, family):
                return Refusal(400, f"No such File object: {asked[member]}", member)
        name = f"{thing.kind.replace('_', '')}_mock{number:06d}"
        made: Stored = {"id": name, "object": thing.kind, "created_at": CREATED, **asked}
        if thing.family == "batches":
            made |= {"status": "validating", "errors": None, "output_file_id": None, "error_file_id": None}
            made |= {"request_counts": {"total": 0, "completed": 0, "failed": 0}}
        elif thing.family == "fine_tuning":
            made |= {"object": "fine_tuning.job", "status": "queued", "fine_tuned_model": None, "result_files": []}
            made |= {"hyperparameters": {"n_epochs": "auto"}, "organization_id": "org-mock", "seed": 0}
            made |= {"trained_tokens": None, "finished_at": None, "error": None}
        elif thing.family == "message_batches":
            counts = {"processing": len(asked.get("requests", ())), "succeeded": 0, "errored": 0}
            made = {"id": name, "type": "message_batch", "processing_status": "in_progress", "created_at": _WHEN}
            made |= {"request_counts": counts | {"canceled": 0, "expired": 0}, "ended_at": None, "results_url": None}
            made |= {"expires_at": _WHEN, "archived_at": None, "cancel_initiated_at": None}
        elif thing.family == "cached_contents":
            made = {"name": f"cachedContents/{name}", "model": asked.get("model"), "createTime": _WHEN}
            made |= {"updateTime": _WHEN, "expireTime": _WHEN, "usageMetadata": {"totalTokenCount": 2048}}
            made |= {"displayName": asked.get("displayName", "")}
        elif thing.family == "gemini_batches":
            made = batch_of_gemini(f"batches/{name}", found.model, asked)
        elif thing.family == "conversations":
            made = {"id": name, "object": "conversation", "created_at": CREATED, "metadata": asked.get("metadata", {})}
        self.of(key, thing.family)[name] = made
        pending = self._job(thing, key, name, made, asked, base)
        if pending is not None:
            self._run(key, thing.family, name, pending, say)
        return [_JSON], msgspec.json.encode(made)

    def _job(self, thing: Thing, key: str | None, name: str, made: Stored, asked: Stored, base: str) -> Pending | None:
        """Return what a new object goes on as, None for what is as it is."""
        whose = key or ""

        def put(file: str, content: bytes) -> None:
            told: Stored = {"id": file, "object": "file", "bytes": len(content), "created_at": CREATED}
            told |= {"filename": f"{file}.jsonl", "purpose": "batch_output", "status": "processed"}
            self.of(key, "files")[file] = told
            self._contents[whose, "files", file] = content

        def put_results(content: bytes) -> None:
            self._contents[whose, "message_batches", name] = content

        if thing.family == "batches":
            lines = self._contents[whose, "files", asked["input_file_id"]]
            return batch_of_openai(made, lines, put, lambda *what: self._answered(*what))
        if thing.family == "message_batches":
            results = f"{base}/v1/messages/batches/{name}/results"
            return batch_of_messages(
                made, asked.get("requests", []), results, put_results, lambda *what: self._answered(*what)
            )
        if thing.family == "gemini_batches":
            return batch_of_geminis(made, asked, lambda *what: self._answered(*what))
        if thing.family == "fine_tuning":
            return tuning(made, self._contents.get((whose, "files", asked["training_file"]), b""))
        return None

    def _file(self, request: Request, thing: Thing, key: str | None, number: int) -> Reply:
        form = fields(request.header(b"content-type"), request.body)
        content = form.get("file", b"")
        filename = _FILENAME.search(request.body)
        called = filename[1].decode() if filename else "file"
        if thing.family == "message_files":
            name = f"file_mock{number:06d}"
            made: Stored = {"id": name, "type": "file", "filename": called, "size_bytes": len(content)}
            made |= {"mime_type": "text/plain", "created_at": _WHEN, "downloadable": True}
        else:
            name = f"file-mock{number:06d}"
            purpose = form.get("purpose", b"").decode()
            made = {"id": name, "object": "file", "bytes": len(content), "created_at": CREATED}
            made |= {"filename": called, "purpose": purpose, "status": "processed"}
        self.of(key, thing.family)[name] = made
        self._contents[key or "", thing.family, name] = content
        return [_JSON], msgspec.json.encode(made)

    def _upload(self, request: Request, key: str | None, base: str) -> Reply | Refusal:
        """Take an upload of Gemini's: the first step begins it, the others bring bytes without any key."""
        query = dict(pair.partition("=")[::2] for pair in request.query.split("&"))
        command = request.header(b"x-goog-upload-command")
        if "upload_id" not in query:
            token = f"upload{next(self._count):06d}"
            told = _body(request.body).get("file", {}) if request.body else {}
            self._uploads[token] = {"key": key, "told": told, "content": b""}
            url = f"{base}/upload/v1beta/files?upload_id={token}&upload_protocol=resumable".encode()
            status = (b"x-goog-upload-status", b"active")
            return [_JSON, status, (b"x-goog-upload-url", url), (b"x-goog-upload-control-url", url)], b"{}"
        under_way = self._uploads.get(query["upload_id"])
        if under_way is None or under_way["key"] != key:
            return Refusal(404, "no such upload")
        if int(request.header(b"x-goog-upload-offset") or 0) != len(under_way["content"]):
            return Refusal(400, "the bytes do not follow those before them")
        under_way["content"] += request.body
        if "finalize" not in command:
            return [_JSON, (b"x-goog-upload-status", b"active")], b""
        del self._uploads[query["upload_id"]]
        told = under_way["told"]
        name = (told.get("name") or f"files/mock{next(self._count):06d}").removeprefix("files/")
        called = told.get("displayName", told.get("display_name", ""))  # both are protobuf's JSON
        kind = told.get("mimeType", told.get("mime_type", "text/plain"))
        made: Stored = {"name": f"files/{name}", "displayName": called, "state": "ACTIVE"}
        made |= {"mimeType": kind, "sizeBytes": str(len(under_way["content"]))}
        made |= {"createTime": _WHEN, "updateTime": _WHEN, "uri": f"{base}/v1beta/files/{name}"}
        self.of(key, "gemini_files")[name] = made
        return [_JSON, (b"x-goog-upload-status", b"final")], msgspec.json.encode({"file": made})


def _body(body: bytes) -> Stored:
    value = msgspec.json.decode(body) if body else {}
    return value if isinstance(value, dict) else {}


def _page(thing: Thing, mine: dict[str, Stored]) -> Stored:
    """List what a key has: what a gateway with many callers behind one key must not tell them."""
    newest = list(reversed(mine.values()))[:_PAGE]
    if thing.operation.dialect == "gemini":
        return {FAMILIES[thing.family].listed or FAMILIES[thing.family].at: newest}
    return {"object": "list", "data": newest, "has_more": False, "first_id": None, "last_id": None}


def _deleted(thing: Thing, name: str) -> Stored:
    if thing.operation.dialect == "gemini":
        return {}
    if thing.operation.dialect == "messages":
        kind = "file" if thing.family == "message_files" else thing.kind
        return {"id": name, "type": f"{kind}_deleted"}
    return {"id": name, "object": thing.kind, "deleted": True}
