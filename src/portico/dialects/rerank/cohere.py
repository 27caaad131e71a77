"""Cohere's `/v2/rerank` (docs.cohere.com/reference/rerank, read 2026-11-20)."""

from typing import Any

import msgspec

from portico.dialects import cohere
from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.forms import fields_of, reply_of, told
from portico.dialects.rerank.asked import Rank, Ranking, Result, read
from portico.dialects.tokens import NOTHING
from portico.types import Usage


def parse_request(body: bytes, model: str) -> Rank:
    """Read a request."""
    return read(fields_of(body), "cohere", "cohere", model)


def render_request(asked: Rank, target: Target, notes: Notes) -> list[bytes]:
    """Write a request; documents are texts there."""
    return [msgspec.json.encode({"model": target.model, **rendered(asked, notes)})]


def rendered(asked: Rank, notes: Notes) -> dict[str, Any]:
    """Return a request's fields without the model."""
    fields: dict[str, Any] = {"query": asked.query, "documents": asked.texts()}
    if asked.top is not None:
        fields["top_n"] = asked.top
    if asked.per_document is not None:
        fields["max_tokens_per_doc"] = asked.per_document
    if asked.chunks is not None:
        notes.lost("rerank_chunks")
    if asked.truncate is False:
        notes.lost("rerank_truncate")
    if asked.style == "cohere":
        fields |= asked.extra
    else:
        told(dict(asked.extra), notes)
    return fields


class Answer(msgspec.Struct):
    """A ranking as providers write it: `results` or `data`."""

    results: list[Result] | None = None
    data: list[Result] | None = None
    id: str | None = None
    model: str | None = None
    meta: msgspec.Raw = NOTHING


answer = msgspec.json.Decoder(Answer)


def parse_reply(body: bytes) -> Ranking:
    """Read a ranking, whoever wrote it."""
    found = reply_of(answer, body)
    results = found.results if found.results is not None else found.data or []
    return Ranking(results=tuple(results), id=found.id or "", model=found.model or "", usage=cohere.read_usage(body))


def render_reply(reply: Ranking, _asked: Rank, given: Given) -> bytes:
    """Write a ranking."""
    results = [{"index": each.index, "relevance_score": each.score} for each in reply.results]
    meta = {"api_version": {"version": "2"}, **billed(reply.usage)}
    return msgspec.json.encode({"id": reply.id or given.new_id(""), "results": results, "meta": meta})


def billed(usage: Usage | None) -> dict[str, Any]:
    """Return what a ranking used: search units where they are billed, else tokens; nothing where nobody says."""
    if usage is None:
        return {}
    if usage.searches:
        return {"billed_units": {"search_units": usage.searches}}
    counted = {"input_tokens": usage.input_total}
    return {"billed_units": dict(counted), "tokens": counted}
