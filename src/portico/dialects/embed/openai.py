"""OpenAI's `/v1/embeddings`, and what providers that follow it have added.

https://platform.openai.com/docs/api-reference/embeddings (read 2026-11-20). Voyage takes `input_type` and
`output_dimension`, and `encoding_format` only as base64 (docs.voyageai.com/reference/embeddings-api); Jina takes `task`
(jina.ai/embeddings); NVIDIA takes `input_type` (docs.api.nvidia.com). A caller may use these words with any provider.
"""

from typing import Any

import msgspec

from portico.dialects import openai
from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.embed.asked import Embed, Input, Purpose, Truncate, Vector, Vectors, words
from portico.dialects.forms import count_in, fields_of, reply_of, taken, told
from portico.dialects.tokens import NOTHING, table
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import Image, Text

MOST_INPUTS = 2048
_PURPOSES: dict[str, Purpose] = {
    "query": "query",
    "search_query": "query",
    "retrieval.query": "query",
    "document": "document",
    "passage": "document",
    "search_document": "document",
    "retrieval.passage": "document",
    "text-matching": "similarity",
    "classification": "classification",
    "separation": "clustering",
    "clustering": "clustering",
    "code.query": "code",
}
_INPUT_TYPES = {"query": "query", "question": "query", "code": "query", "document": "document"}
_TASKS = {
    "query": "retrieval.query",
    "question": "retrieval.query",
    "fact": "retrieval.query",
    "document": "retrieval.passage",
    "similarity": "text-matching",
    "classification": "classification",
    "clustering": "separation",
}


def parse_request(body: bytes, model: str) -> Embed:
    """Read a request."""
    fields = fields_of(body)
    fields.pop("model", None)
    task = taken(fields, "task", str, "a string")
    kind = taken(fields, "input_type", str, "a string")
    said = task or kind
    purpose = None if said is None else _PURPOSES.get(said.lower())
    if said is not None and purpose is None:
        fields["task" if task else "input_type"] = said  # another's word: noted as a field that does not cross
    encoding = taken(fields, "encoding_format", str, "`float` or `base64`") or "float"
    if encoding not in ("float", "base64"):
        raise InvalidRequest("`encoding_format` must be `float` or `base64`", param="encoding_format")
    cut = taken(fields, "truncation", bool, "true or false")
    truncate: Truncate | None = None if cut is None else "end" if cut else "none"
    return Embed(
        dialect="chat",
        model=model,
        inputs=tuple(_input(given, purpose) for given in _listed(fields.pop("input", None))),
        dimensions=count_in(fields, "dimensions") or count_in(fields, "output_dimension"),
        types=(encoding,),
        truncate=truncate,
        user=taken(fields, "user", str, "a string"),
        extra=fields,
    )


def _listed(given: Any) -> list[Any]:
    """Return the inputs: a text, texts, tokens, lists of tokens; or Jina's and OpenRouter's objects with pictures."""
    if isinstance(given, str | dict):
        return [given]
    if isinstance(given, list) and given:
        return [given] if isinstance(given[0], int) else given
    raise InvalidRequest("`input` must be a text, a list of texts, or tokens", param="input")


def _input(given: Any, purpose: Purpose | None) -> Input:
    if isinstance(given, str):
        return Input(text=given, purpose=purpose)
    if isinstance(given, list) and given and all(type(token) is int for token in given):
        return Input(tokens=tuple(given), purpose=purpose)
    if isinstance(given, dict):
        content = given.get("content")
        parts = tuple(map(_part, content if isinstance(content, list) else [given]))
        if len(parts) == 1 and type(parts[0]) is Text:
            return Input(text=parts[0].text, purpose=purpose)
        return Input(parts=parts, purpose=purpose)
    raise InvalidRequest("`input` must be a text, a list of texts, or tokens", param="input")


def _part(given: Any) -> Text | Image:
    from portico.dialects.embed.pictures import picture

    if isinstance(given, dict):
        if isinstance(text := given.get("text"), str):
            return Text(text=text)
        found = given.get("image") or given.get("image_url")
        if isinstance(found, dict):
            found = found.get("url")
        if isinstance(found, str):
            return picture(found)
    raise InvalidRequest("`input` holds something that is neither text nor a picture", param="input")


def render_request(asked: Embed, target: Target, notes: Notes) -> list[bytes]:
    """Write a request. Raises InvalidRequest for pictures, and for vectors of whole numbers."""
    fields: dict[str, Any] = {"model": target.model, "input": []}
    voyage = "embeddings_input_type" in target.quirks
    jina = "embeddings_task" in target.quirks
    if voyage and any(given.tokens for given in asked.inputs):
        notes.lost("embed_tokens")
    if any(kind not in ("float", "base64") for kind in asked.types):
        notes.lost("embed_type", ", ".join(asked.types))
    if asked.dimensions is not None:
        fields["output_dimension" if voyage else "dimensions"] = asked.dimensions
    if asked.types == ("base64",):
        fields["encoding_format"] = "base64"
    if asked.truncate is not None:
        if voyage and asked.truncate != "start":
            fields["truncation"] = asked.truncate == "end"
        elif asked.truncate != "end" or asked.dialect != "cohere":
            notes.lost("embed_truncate")
    if asked.normalize is not None:
        notes.lost("embed_normalize")
    if asked.user is not None and not (voyage or jina):
        fields["user"] = asked.user
    if any(given.title for given in asked.inputs):
        notes.lost("embed_title")
    if asked.dialect != "chat" or voyage:
        told(dict(asked.extra), notes)
    else:
        fields |= asked.extra
    known = _INPUT_TYPES if voyage else _TASKS if jina else {}
    field = "input_type" if voyage else "task"
    bodies = []
    for start in range(0, len(asked.inputs), MOST_INPUTS):
        for purpose, run in _runs(asked.inputs[start : start + MOST_INPUTS]):
            more: dict[str, Any] = {}
            if purpose in known:
                more[field] = known[purpose]
            elif purpose is not None:
                notes.lost("embed_purpose", purpose)
            bodies.append(msgspec.json.encode(fields | more | {"input": [_said(given, notes) for given in run]}))
    return bodies


def _runs(inputs: tuple[Input, ...]) -> list[tuple[Purpose | None, list[Input]]]:
    """Return inputs that stand together and are for the same."""
    found: list[tuple[Purpose | None, list[Input]]] = []
    for given in inputs:
        if found and found[-1][0] == given.purpose:
            found[-1][1].append(given)
        else:
            found.append((given.purpose, [given]))
    return found


def _said(given: Input, notes: Notes) -> str | tuple[int, ...]:
    if given.tokens:
        return given.tokens
    if given.text is not None:
        return given.text
    if any(type(part) is Image for part in given.parts):
        notes.lost("embed_image")
    return "\n".join(part.text for part in given.parts if type(part) is Text)


class _Datum(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class _Reply(msgspec.Struct):
    data: list[_Datum]
    model: str | None = None
    id: str | None = None
    usage: msgspec.Raw = NOTHING


_reply = msgspec.json.Decoder(_Reply)
_string = msgspec.json.Decoder(str)


def parse_reply(body: bytes) -> Vectors:
    """Read a reply: vectors of numbers or base64, in the order of their indices."""
    found = reply_of(_reply, body)
    data = found.data
    if all(datum.index is not None for datum in data):
        data = sorted(data, key=lambda datum: datum.index or 0)
    return Vectors(
        vectors=tuple(_vector(datum.embedding) for datum in data),
        model=found.model or "",
        id=found.id or "",
        usage=openai.usage(table(found.usage)),
    )


def _vector(raw: msgspec.Raw) -> Vector:
    first = bytes(memoryview(raw)[:1])
    if first == b"[":
        return Vector(floats=raw)
    if first == b'"':
        return Vector(base64=reply_of(_string, raw))
    raise BadUpstreamReply("the provider sent something for a vector that is none")


def render_reply(reply: Vectors, asked: Embed, _given: Given) -> bytes:
    """Write a reply, its vectors as the caller asked for them."""
    encoded = asked.types[0] == "base64"
    usage = reply.usage
    total = usage.input_total if usage is not None else words(asked)
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": vector.as_base64() if encoded else vector.as_floats(),
                }
                for index, vector in enumerate(reply.vectors)
            ],
            "model": reply.model or asked.model,
            "usage": {"prompt_tokens": total, "total_tokens": total},
        }
    )
