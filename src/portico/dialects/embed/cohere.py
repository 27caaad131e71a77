"""Cohere's `/v2/embed` (docs.cohere.com/reference/embed, read 2026-11-20)."""

from typing import Any

import msgspec

from portico.dialects.cohere.watch import usage as usage_of
from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.embed.asked import Embed, Input, Purpose, Truncate, Vector, Vectors, words
from portico.dialects.embed.pictures import data_of, picture, url_of
from portico.dialects.forms import count_in, fields_of, reply_of, taken, told
from portico.dialects.tokens import NOTHING, table
from portico.errors import InvalidRequest
from portico.ir import Image, Text

MOST_INPUTS = 96
DEFAULT: Purpose = "document"
"""What vectors are for where the caller does not say: Cohere's newer models want to know."""
_PURPOSES: dict[str, Purpose] = {
    "search_query": "query",
    "search_document": "document",
    "classification": "classification",
    "clustering": "clustering",
    "image": "image",
}
_NAMES = {purpose: name for name, purpose in _PURPOSES.items()}
_NEAREST = {"similarity": "clustering", "question": "search_query", "fact": "search_query", "code": "search_query"}
_CUTS: dict[str, Truncate] = {"NONE": "none", "START": "start", "END": "end"}
TYPES = ("float", "int8", "uint8", "binary", "ubinary", "base64")


# What callers write


def parse_request(body: bytes, model: str) -> Embed:
    """Read a request."""
    fields = fields_of(body)
    fields.pop("model", None)
    return parse_fields(fields, model)


def parse_fields(fields: dict[str, Any], model: str) -> Embed:
    """Read a request's fields, as Bedrock has them too."""
    said = taken(fields, "input_type", str, "a string")
    purpose = None if said is None else _PURPOSES.get(said)
    if said is not None and purpose is None:
        raise InvalidRequest(f"`input_type` must be one of {', '.join(_PURPOSES)}", param="input_type")
    inputs: list[Input] = []
    for text in taken(fields, "texts", list, "a list of texts") or ():
        if not isinstance(text, str):
            raise InvalidRequest("`texts` must be a list of texts", param="texts")
        inputs.append(Input(text=text, purpose=purpose))
    for image in taken(fields, "images", list, "a list of pictures") or ():
        if not isinstance(image, str):
            raise InvalidRequest("`images` must be a list of data URLs", param="images")
        inputs.append(Input(parts=(picture(image),), purpose=purpose or "image"))
    inputs += [Input(parts=_parts(given), purpose=purpose) for given in taken(fields, "inputs", list, "a list") or ()]
    if not inputs:
        raise InvalidRequest("`texts`, `images` or `inputs` must be given", param="texts")
    types = taken(fields, "embedding_types", list, "a list of types") or ["float"]
    if not all(kind in TYPES for kind in types):
        raise InvalidRequest(f"`embedding_types` must be of {', '.join(TYPES)}", param="embedding_types")
    cut = taken(fields, "truncate", str, "NONE, START or END")
    fields.pop("max_tokens", None)
    return Embed(
        dialect="cohere",
        model=model,
        inputs=tuple(inputs),
        dimensions=count_in(fields, "output_dimension"),
        types=tuple(types),
        truncate=None if cut is None else _CUTS.get(cut.upper()),
        extra=fields,
    )


def _parts(given: Any) -> tuple[Text | Image, ...]:
    content = given.get("content") if isinstance(given, dict) else None
    found: list[Text | Image] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            found.append(Text(text=part["text"]))
            continue
        held = part.get("image_url") if isinstance(part, dict) else None
        address = held.get("url") if isinstance(held, dict) else held
        if not isinstance(address, str):
            raise InvalidRequest("`inputs` holds something that is neither text nor a picture", param="inputs")
        found.append(picture(address))
    if not found:
        raise InvalidRequest("each of `inputs` must have content", param="inputs")
    return tuple(found)


# What providers read


def render_request(asked: Embed, target: Target, notes: Notes) -> list[bytes]:
    """Write a request, as often as the inputs need it: those for one purpose and of one kind stand together."""
    return [msgspec.json.encode({"model": target.model, **body}) for body in rendered(asked, notes)]


def rendered(asked: Embed, notes: Notes) -> list[dict[str, Any]]:
    """Return the fields of each request, without the model."""
    if any(given.tokens for given in asked.inputs):
        notes.lost("embed_tokens")
    if any(given.title for given in asked.inputs):
        notes.lost("embed_title")
    if asked.normalize is not None:
        notes.lost("embed_normalize")
    if asked.user is not None:
        notes.lost("user")
    if asked.dialect not in ("cohere", "converse"):
        told(dict(asked.extra), notes)
    fields: dict[str, Any] = {"embedding_types": list(dict.fromkeys(_wanted(kind) for kind in asked.types))}
    if asked.dimensions is not None:
        fields["output_dimension"] = asked.dimensions
    if asked.truncate is not None:
        fields["truncate"] = asked.truncate.upper()
    runs: list[tuple[str, bool, list[Input]]] = []
    for given in asked.inputs:
        name = _named(given, notes)
        run = runs[-1] if runs else None
        if run is not None and run[0] == name and run[1] == bool(given.parts) and len(run[2]) < MOST_INPUTS:
            run[2].append(given)
        else:
            runs.append((name, bool(given.parts), [given]))
    return [{**fields, "input_type": name, **_inputs(run, notes)} for name, _, run in runs]


def _wanted(kind: str) -> str:
    """Return the type to ask for: base64 is made here, and floats keep their digits."""
    return "float" if kind == "base64" else kind


def _named(given: Input, notes: Notes) -> str:
    purpose = given.purpose
    if purpose is None:
        return "image" if _a_picture(given) else _NAMES[DEFAULT]
    if purpose in _NEAREST:
        notes.lost("embed_purpose", f"{purpose}: the nearest is taken")
        return _NEAREST[purpose]
    return "image" if _a_picture(given) else _NAMES[purpose]


def _a_picture(given: Input) -> bool:
    return len(given.parts) == 1 and type(given.parts[0]) is Image


def _inputs(run: list[Input], notes: Notes) -> dict[str, Any]:
    if not run[0].parts:
        return {"texts": [given.text or "" for given in run]}
    return {"inputs": [{"content": [_written(part, notes) for part in given.parts]} for given in run]}


def _written(part: Text | Image, notes: Notes) -> dict[str, Any]:
    if type(part) is Text:
        return {"type": "text", "text": part.text}
    assert type(part) is Image
    data_of(part, notes)
    return {"type": "image_url", "image_url": {"url": url_of(part)}}


# What providers write


class _Reply(msgspec.Struct):
    embeddings: dict[str, list[msgspec.Raw]] | list[msgspec.Raw]
    id: str | None = None
    meta: msgspec.Raw = NOTHING


_reply = msgspec.json.Decoder(_Reply)
_string = msgspec.json.Decoder(str)


def parse_reply(body: bytes) -> Vectors:
    """Read a reply: vectors by their type, or plain ones as Bedrock sends them where no types were asked for."""
    found = reply_of(_reply, body)
    by_type = found.embeddings if isinstance(found.embeddings, dict) else {"float": found.embeddings}
    size = max((len(vectors) for vectors in by_type.values()), default=0)
    vectors = []
    for at in range(size):
        here = {kind: values[at] for kind, values in by_type.items() if at < len(values)}
        floats, encoded = here.pop("float", None), here.pop("base64", None)
        written = None if encoded is None else reply_of(_string, encoded)
        vectors.append(Vector(floats=floats, base64=written, others=here))
    return Vectors(vectors=tuple(vectors), id=found.id or "", usage=usage_of(table(found.meta)))


# What callers read


def render_reply(reply: Vectors, asked: Embed, given: Given) -> bytes:
    """Write a reply with every type that the caller asked for."""
    usage = reply.usage
    billed: dict[str, int] = {"input_tokens": words(asked) if usage is None else usage.input_total - usage.input_image}
    if usage is not None and usage.input_image:
        billed["image_tokens"] = usage.input_image
    if usage is not None and usage.images:
        billed["images"] = usage.images
    found = {"id": given.new_id(""), "embeddings": by_type(reply, asked)}
    texts = [each.text for each in asked.inputs if each.text is not None]
    meta = {"api_version": {"version": "2"}, "billed_units": billed}
    return msgspec.json.encode({**found, "texts": texts, "meta": meta, "response_type": "embeddings_by_type"})


def render_plain(reply: Vectors, asked: Embed, given: Given) -> bytes:
    """Write a reply as Bedrock has it for a body that names no types: floats alone, in a list."""
    texts = [each.text for each in asked.inputs if each.text is not None]
    vectors = [vector.as_floats() for vector in reply.vectors]
    found = {"id": given.new_id(""), "embeddings": vectors, "texts": texts}
    return msgspec.json.encode({**found, "response_type": "embeddings_floats"})


def by_type(reply: Vectors, asked: Embed) -> dict[str, list[Any]]:
    """Return the vectors in each type that was asked for."""
    found: dict[str, list[Any]] = {}
    for kind in asked.types:
        if kind == "float":
            found[kind] = [vector.as_floats() for vector in reply.vectors]
        elif kind == "base64":
            found[kind] = [vector.as_base64() for vector in reply.vectors]
        else:
            found[kind] = [vector.others[kind] for vector in reply.vectors if kind in vector.others]
    return found
