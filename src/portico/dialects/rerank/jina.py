"""The `/rerank` that Jina, Cohere's v1 and many others have; and Voyage's, who have other words for some of it.

https://api.jina.ai/docs and https://docs.cohere.com/v1/reference/rerank take `top_n` and answer with `results`; Voyage
takes `top_k` and `truncation` and answers with `data` (https://docs.voyageai.com/reference/reranker-api; all read
2026-11-20). A caller's words decide over the words of its reply.
"""

from collections.abc import Container
from typing import Any

import msgspec

from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.forms import fields_of, told
from portico.dialects.rerank import cohere
from portico.dialects.rerank.asked import Rank, Ranking, Style, read

QUIRK = "rerank_top_k"
"""Of a provider that has Voyage's words."""


def style(fields: Container[str]) -> Style:
    """Return whose words a request has, from its fields."""
    return "voyage" if ("top_k" in fields or "truncation" in fields) and "top_n" not in fields else "jina"


def parse_request(body: bytes, model: str) -> Rank:
    """Read a request."""
    fields = fields_of(body)
    return read(fields, "cohere", style(fields), model)


def render_request(asked: Rank, target: Target, notes: Notes) -> list[bytes]:
    """Write a request for a provider, in Voyage's words where it has those."""
    voyage = QUIRK in target.quirks
    fields: dict[str, Any] = {"model": target.model, "query": asked.query, "documents": asked.texts()}
    if asked.top is not None:
        fields["top_k" if voyage else "top_n"] = asked.top
    if voyage and asked.truncate is not None:
        fields["truncation"] = asked.truncate
    elif asked.truncate is False:
        notes.lost("rerank_truncate")
    if asked.per_document is not None:
        notes.lost("rerank_per_document")
    if asked.chunks is not None:
        notes.lost("rerank_chunks")
    # The documents are put into the reply here, and need not travel back.
    fields["return_documents"] = False
    if asked.style == "jina" and not voyage:
        fields |= asked.extra
    else:
        told(dict(asked.extra), notes)
    return [msgspec.json.encode(fields)]


parse_reply = cohere.parse_reply


def render_reply(reply: Ranking, asked: Rank, given: Given) -> bytes:
    """Write a ranking; its documents are the caller's own."""
    results = []
    for each in reply.results:
        found: dict[str, Any] = {"index": each.index, "relevance_score": each.score}
        if asked.shown and 0 <= each.index < len(asked.documents):
            document = asked.documents[each.index]
            if asked.style == "voyage":
                found["document"] = document
            else:
                found["document"] = {"text": document} if isinstance(document, str) else document
        results.append(found)
    usage = reply.usage
    model = reply.model or asked.model
    counted: dict[str, int] = {"total_tokens": usage.total if usage is not None else 0}
    if usage is not None and usage.searches:
        counted["search_units"] = usage.searches
    if asked.style == "voyage":
        return msgspec.json.encode({"object": "list", "data": results, "model": model, "usage": counted})
    return msgspec.json.encode(
        {
            "id": reply.id or given.new_id("rerank-"),
            "model": model,
            "results": results,
            "meta": {"api_version": {"version": "1"}, **cohere.billed(usage)},
            "usage": {"prompt_tokens": counted["total_tokens"], **counted},
        }
    )
