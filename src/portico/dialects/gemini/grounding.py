"""Where an answer's claims come from, and how likely its tokens were: Google's words and ours.

https://ai.google.dev/api/generate-content#GroundingMetadata, …#citationmetadata and …#LogprobsResult (read
2026-11-20). Google counts offsets in bytes of UTF-8, we in characters.
"""

from collections.abc import Sequence
from typing import Any

from portico.dialects.gemini.spelling import Object
from portico.ir import Citation, Part, Text


def citations(candidate: Object, texts: dict[int, str]) -> dict[int, list[Citation]]:
    """Return the citations of a candidate by the index of the text that they are of.

    `texts` are the candidate's texts by the index of their part; all of a stream's so far, where it is one.
    """
    found: dict[int, list[Citation]] = {}
    if not texts:
        return found
    first = min(texts)
    grounding = candidate.get("groundingMetadata")
    if type(grounding) is dict:
        chunks = _objects(grounding.get("groundingChunks"))
        for support in _objects(grounding.get("groundingSupports")):
            segment = support.get("segment")
            if type(segment) is not dict:
                continue
            part = segment.get("partIndex")
            at = part if type(part) is int and part in texts else first
            indices = support.get("groundingChunkIndices")
            for index in indices if type(indices) is list else ():
                if type(index) is int and 0 <= index < len(chunks):
                    found.setdefault(at, []).append(_supported(chunks[index], segment, texts[at]))
    metadata = candidate.get("citationMetadata")
    if type(metadata) is dict:
        for source in _objects(metadata.get("citations") or metadata.get("citationSources")):
            found.setdefault(first, []).append(_source(source, texts[first]))
    return found


def _objects(found: Any) -> list[Object]:
    return [each if type(each) is dict else {} for each in found] if type(found) is list else []


def _word(found: Object, name: str) -> str | None:
    value = found.get(name)
    return value if type(value) is str and value else None


def _supported(chunk: Object, segment: Object, text: str) -> Citation:
    start, end = _characters(text, segment.get("startIndex") or 0), _characters(text, segment.get("endIndex"))
    for name in ("web", "maps", "retrievedContext"):
        place = chunk.get(name)
        if type(place) is dict:
            return Citation(
                kind="document" if name == "retrievedContext" else "url",
                url=_word(place, "uri"),
                title=_word(place, "title"),
                cited=_word(place, "text"),
                document_id=_word(place, "documentName"),
                start=start,
                end=end,
            )
    return Citation(kind="other", start=start, end=end)


def _source(source: Object, text: str) -> Citation:
    return Citation(
        kind="url" if _word(source, "uri") else "other",
        url=_word(source, "uri"),
        title=_word(source, "title"),
        start=_characters(text, source.get("startIndex") or 0),
        end=_characters(text, source.get("endIndex")),
    )


def _characters(text: str, offset: Any) -> int | None:
    if type(offset) is not int or offset < 0:
        return None
    if text.isascii():
        return offset
    return len(text.encode("utf-8", "replace")[:offset].decode("utf-8", "ignore"))


def grounding(parts: Sequence[Part]) -> Object | None:
    """Write the citations of texts as `groundingMetadata`; None where there are none."""
    chunks: list[Object] = []
    supports: list[Object] = []
    seen: dict[str, int] = {}
    for at, part in enumerate(parts):
        for citation in part.citations if isinstance(part, Text) else ():
            assert isinstance(part, Text)
            chunk = _chunk(citation)
            index = seen.setdefault(repr(chunk), len(chunks))
            if index == len(chunks):
                chunks.append(chunk)
            supports.append({"segment": _segment(citation, part.text, at), "groundingChunkIndices": [index]})
    return {"groundingChunks": chunks, "groundingSupports": supports} if chunks else None


def _chunk(citation: Citation) -> Object:
    title = {"title": citation.title} if citation.title else {}
    if citation.url is not None and citation.kind in ("url", "search", "other"):
        return {"web": {"uri": citation.url, **title}}
    place: Object = dict(title)
    if citation.url is not None:
        place["uri"] = citation.url
    if citation.cited is not None:
        place["text"] = citation.cited
    name = citation.document_id or citation.file_id
    if name is None and citation.document is not None:
        name = str(citation.document)
    if name is not None:
        place["documentName"] = name
    return {"retrievedContext": place}


def _segment(citation: Citation, text: str, at: int) -> Object:
    start = citation.start or 0
    end = len(text) if citation.end is None else citation.end
    segment: Object = {"endIndex": len(text[:end].encode("utf-8", "replace")), "text": text[start:end]}
    if start:
        segment["startIndex"] = len(text[:start].encode("utf-8", "replace"))
    if at:
        segment["partIndex"] = at
    return segment


# Log probabilities


def logprobs(found: Any) -> Object | None:
    """Read `logprobsResult` as OpenAI writes it; None where it holds none."""
    if type(found) is not dict:
        return None
    chosen = _objects(found.get("chosenCandidates"))
    tops = _objects(found.get("topCandidates"))
    content = []
    for at, each in enumerate(chosen):
        top = tops[at].get("candidates") if at < len(tops) else None
        content.append({**_token(each), "top_logprobs": [_token(other) for other in _objects(top)]})
    return {"content": content} if content else None


def _token(found: Object) -> Object:
    token = found.get("token")
    token = token if type(token) is str else ""
    value = found.get("logProbability")
    number = value if type(value) is float or type(value) is int else 0.0
    return {"token": token, "logprob": number, "bytes": list(token.encode("utf-8", "replace"))}


def render_logprobs(found: Any) -> Object | None:
    """Write OpenAI's log probabilities as `logprobsResult`; None where there are none."""
    content = _objects(found.get("content")) if type(found) is dict else []
    if not content:
        return None
    chosen = [_candidate(each) for each in content]
    tops = [{"candidates": [_candidate(top) for top in _objects(each.get("top_logprobs"))]} for each in content]
    return {"chosenCandidates": chosen, **({"topCandidates": tops} if any(top["candidates"] for top in tops) else {})}


def _candidate(found: Object) -> Object:
    return {"token": found.get("token", ""), "logProbability": found.get("logprob", 0.0)}
