"""Bedrock's `invoke` of embedding models: Titan's and Cohere's bodies.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html, …-titan-embed-mm.html and
…-embed.html (read 2026-11-20). Titan makes one vector at a time.
"""

from typing import Any, Literal

import msgspec

from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.embed import cohere
from portico.dialects.embed.asked import Embed, Input, Vector, Vectors, words
from portico.dialects.embed.pictures import data_of, picture
from portico.dialects.forms import count_in, fields_of, reply_of, taken, told
from portico.dialects.tokens import NOTHING
from portico.errors import InvalidRequest
from portico.ir import Image, Text
from portico.types import Usage

Maker = Literal["titan-1", "titan-2", "titan-image", "cohere"]


def maker(model: str) -> Maker | None:
    """Return how a model of Bedrock's is asked for vectors, None for one that makes none, or is not known to."""
    if "titan-embed-image" in model:
        return "titan-image"
    if "titan-embed-text-v2" in model:
        return "titan-2"
    if "titan-embed" in model:
        return "titan-1"
    return "cohere" if "cohere.embed" in model else None


def parse_request(body: bytes, model: str) -> Embed:
    """Read the body of a caller who takes the model for one of Bedrock's: Titan's, or Cohere's."""
    fields = fields_of(body)
    if "texts" in fields or "images" in fields or "inputs" in fields:
        marks = {"$cohere": None} | ({"$typed": None} if "embedding_types" in fields else {})
        asked = cohere.parse_fields(fields, model)
        return msgspec.structs.replace(asked, dialect="converse", extra={**asked.extra, **marks})
    text = taken(fields, "inputText", str, "a string")
    image = taken(fields, "inputImage", str, "base64")
    if text is None and image is None:
        raise InvalidRequest("of Bedrock's bodies only those for embeddings can be put to another provider")
    config = taken(fields, "embeddingConfig", dict, "an object") or {}
    types = taken(fields, "embeddingTypes", list, "a list of types") or ["float"]
    parts: list[Text | Image] = [] if text is None else [Text(text=text)]
    if image is not None:
        parts.append(picture(image))
    given = Input(text=text) if image is None else Input(parts=tuple(parts))
    size = count_in(fields, "dimensions") or count_in(config, "outputEmbeddingLength")
    return Embed(
        dialect="converse",
        model=model,
        inputs=(given,),
        dimensions=size,
        types=tuple(str(kind) for kind in types),
        normalize=taken(fields, "normalize", bool, "true or false"),
        extra=fields,
    )


def render_request(asked: Embed, target: Target, notes: Notes) -> list[bytes]:
    """Write a request, one for each input where the model is Titan."""
    made = maker(target.model)
    if made is None:
        raise InvalidRequest(f"{target.model!r} is no embedding model of Bedrock's that Portico knows", param="model")
    if made == "cohere":
        return [msgspec.json.encode(body) for body in cohere.rendered(asked, notes)]
    if any(given.tokens for given in asked.inputs):
        notes.lost("embed_tokens")
    if any(given.title for given in asked.inputs):
        notes.lost("embed_title")
    if asked.user is not None:
        notes.lost("user")
    if asked.truncate is not None:
        notes.lost("embed_truncate")
    if any(kind not in ("float", "base64") for kind in asked.types):
        notes.lost("embed_type", ", ".join(asked.types))
    for purpose in dict.fromkeys(given.purpose for given in asked.inputs):
        if purpose is not None and purpose != "image":
            notes.lost("embed_purpose", purpose)
    if asked.normalize is not None and made != "titan-2":
        notes.lost("embed_normalize")
    told(dict(asked.extra), notes)
    settings: dict[str, Any] = {}
    if asked.dimensions is not None:
        if made == "titan-1":
            notes.lost("embed_dimensions")
        elif made == "titan-2":
            settings["dimensions"] = asked.dimensions
        else:
            settings["embeddingConfig"] = {"outputEmbeddingLength": asked.dimensions}
    if asked.normalize is not None:
        settings["normalize"] = asked.normalize
    return [msgspec.json.encode({**_input(given, made, notes), **settings}) for given in asked.inputs]


def _input(given: Input, made: Maker, notes: Notes) -> dict[str, Any]:
    if given.text is not None:
        return {"inputText": given.text}
    images = [part for part in given.parts if type(part) is Image]
    if images and made != "titan-image":
        notes.lost("embed_image")
    if len(images) > 1:
        notes.lost("embed_image", "one for each vector")
    found: dict[str, Any] = {}
    texts = [part.text for part in given.parts if type(part) is Text]
    if texts:
        found["inputText"] = "\n".join(texts)
    if images:
        found["inputImage"] = data_of(images[0], notes)
    return found


class _Titan(msgspec.Struct):
    embedding: msgspec.Raw = NOTHING
    tokens: int | None = msgspec.field(name="inputTextTokenCount", default=None)
    message: str | None = None


_titan = msgspec.json.Decoder(_Titan)


def parse_reply(body: bytes) -> Vectors:
    """Read a reply, Titan's or Cohere's."""
    found = reply_of(_titan, body)
    if not bytes(memoryview(found.embedding)[:1]):
        return cohere.parse_reply(body)
    usage = Usage(input=found.tokens) if found.tokens else None
    return Vectors(vectors=(Vector(floats=found.embedding),), usage=usage)


def render_reply(reply: Vectors, asked: Embed, given: Given) -> bytes:
    """Write a reply as the body was: Cohere's for Cohere's, plain where it named no types; else Titan's."""
    if "$cohere" in asked.extra:
        return (cohere.render_reply if "$typed" in asked.extra else cohere.render_plain)(reply, asked, given)
    total = reply.usage.input_total if reply.usage is not None else words(asked)
    values = reply.vectors[0].as_floats()
    return msgspec.json.encode(
        {"embedding": values, "embeddingsByType": {"float": values}, "inputTextTokenCount": total}
    )
