"""Gemini's `embedContent` and `batchEmbedContents`, and Vertex AI's `predict`.

https://ai.google.dev/api/embeddings and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api (read 2026-11-20). Vertex AI
puts the settings of `embedContent` into `embedContentConfig`; `predict` is what its text models are called with.
"""

from typing import Any

import msgspec

from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.embed.asked import Embed, Input, Purpose, Truncate, Vector, Vectors, words
from portico.dialects.embed.pictures import data_of
from portico.dialects.forms import fields_of, reply_of, told
from portico.dialects.gemini.watch import usage as usage_of
from portico.dialects.tokens import NOTHING, table
from portico.errors import InvalidRequest
from portico.ir import Image, Source, Text
from portico.types import Usage

Table = dict[str, Any]

MOST_IN_BATCH = 100
MOST_PREDICTED = 250
_PURPOSES: dict[str, Purpose] = {
    "RETRIEVAL_QUERY": "query",
    "RETRIEVAL_DOCUMENT": "document",
    "SEMANTIC_SIMILARITY": "similarity",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
    "QUESTION_ANSWERING": "question",
    "FACT_VERIFICATION": "fact",
    "CODE_RETRIEVAL_QUERY": "code",
}
_NAMES = {purpose: name for name, purpose in _PURPOSES.items()}
# What Google's older client libraries write, the numbers of the words above.
_NUMBERED = dict(enumerate(_PURPOSES.values(), 1))


# What callers write


def parse_single(body: bytes, model: str) -> Embed:
    """Read `embedContent`."""
    return _asked([fields_of(body)], model, {})


def parse_batch(body: bytes, model: str) -> Embed:
    """Read `batchEmbedContents`."""
    fields = fields_of(body)
    requests = fields.pop("requests", None)
    if not isinstance(requests, list) or not requests or not all(isinstance(each, dict) for each in requests):
        raise InvalidRequest("`requests` must be a list of objects", param="requests")
    fields.pop("model", None)
    return _asked(requests, model, fields)


def _asked(requests: list[Table], model: str, extra: Table) -> Embed:
    inputs = []
    sizes = set()
    cuts = set()
    for request in requests:
        request.pop("model", None)
        content = request.pop("content", None)
        config = _pick(request, "embedContentConfig")
        if isinstance(config, dict):
            request |= config
        size = _pick(request, "outputDimensionality")
        if size is not None and (type(size) is not int or size < 1):
            raise InvalidRequest("`outputDimensionality` must be a whole number", param="outputDimensionality")
        sizes.add(size)
        cuts.add(_pick(request, "autoTruncate"))
        task, title = _pick(request, "taskType"), _pick(request, "title")
        purpose = _purpose(task)
        parts = _parts(content)
        if len(parts) == 1 and type(parts[0]) is Text:
            given = Input(text=parts[0].text, purpose=purpose, title=title if isinstance(title, str) else None)
        else:
            given = Input(parts=parts, purpose=purpose, title=title if isinstance(title, str) else None)
        inputs.append(given)
        extra |= request
    if len(sizes) > 1:
        raise InvalidRequest("all requests of a batch must ask for the same `outputDimensionality`", param="requests")
    return Embed(
        dialect="gemini",
        model=model,
        inputs=tuple(inputs),
        dimensions=sizes.pop(),
        truncate=_cut(cuts.pop() if len(cuts) == 1 else None),
        extra=extra,
    )


def _purpose(task: Any) -> Purpose | None:
    """Return what vectors are for; `task` is a word, or the number of one."""
    return _PURPOSES.get(task) if isinstance(task, str) else _NUMBERED.get(task) if type(task) is int else None


def _pick(fields: Table, name: str) -> Any:
    """Take a field out by its name in either of the cases that Google reads."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    first, second = fields.pop(name, None), fields.pop(snake, None)
    return second if first is None else first


def _cut(auto: Any) -> Truncate | None:
    return None if type(auto) is not bool else "end" if auto else "none"


def _parts(content: Any) -> tuple[Text | Image, ...]:
    if isinstance(content, str):
        return (Text(text=content),)
    parts = content.get("parts") if isinstance(content, dict) else None
    found: list[Text | Image] = []
    for part in [parts] if isinstance(parts, dict) else parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            found.append(Text(text=part["text"]))
        elif isinstance(part, dict):
            found.append(_picture(part))
    if not found:
        raise InvalidRequest("`content` must have parts", param="content")
    return tuple(found)


def _picture(part: Table) -> Image:
    held = part.get("inlineData") or part.get("inline_data") or part.get("fileData") or part.get("file_data")
    if isinstance(held, dict):
        kind = held.get("mimeType") or held.get("mime_type")
        data, address = held.get("data"), held.get("fileUri") or held.get("file_uri")
        if isinstance(kind, str) and kind.startswith("image/"):
            if isinstance(data, str):
                return Image(source=Source(data=data, media_type=kind))
            if isinstance(address, str):
                return Image(source=Source(url=address, media_type=kind))
    raise InvalidRequest("`content` has a part that is neither text nor a picture", param="content")


def parse_predict(body: bytes, model: str) -> Embed:
    """Read Vertex AI's `predict` of texts."""
    fields = fields_of(body)
    instances = fields.pop("instances", None)
    if not isinstance(instances, list) or not instances or not all(isinstance(each, dict) for each in instances):
        raise InvalidRequest("`instances` must be a list of objects", param="instances")
    inputs = []
    extra = fields
    settings = extra.pop("parameters", None)
    settings = dict(settings) if isinstance(settings, dict) else {}
    for each in instances:
        text = each.pop("content", None)
        if not isinstance(text, str):
            raise InvalidRequest("only texts can be asked of this model: `instances` need `content`", param="instances")
        task, title = each.pop("task_type", None), each.pop("title", None)
        purpose = _purpose(task)
        inputs.append(Input(text=text, purpose=purpose, title=title if isinstance(title, str) else None))
        extra |= each
    size = settings.pop("outputDimensionality", None)
    if size is not None and (type(size) is not int or size < 1):
        raise InvalidRequest("`outputDimensionality` must be a whole number", param="parameters")
    truncate = _cut(settings.pop("autoTruncate", None))
    return Embed(
        dialect="gemini",
        model=model,
        inputs=tuple(inputs),
        dimensions=size,
        truncate=truncate,
        extra=extra | settings,
    )


# What providers read


def render_batch(asked: Embed, target: Target, notes: Notes) -> list[bytes]:
    """Write `batchEmbedContents`, as often as the inputs need it."""
    requests = _requests(asked, target, notes)
    for request in requests:
        request["model"] = f"models/{target.model}"
    return [
        msgspec.json.encode({"requests": requests[at : at + MOST_IN_BATCH]})
        for at in range(0, len(requests), MOST_IN_BATCH)
    ]


def render_single(asked: Embed, target: Target, notes: Notes) -> list[bytes]:
    """Write `embedContent` for each input."""
    return [msgspec.json.encode(request) for request in _requests(asked, target, notes)]


def _requests(asked: Embed, target: Target, notes: Notes) -> list[Table]:
    configured = "embed_content_config" in target.quirks
    _limits(asked, notes, truncates=configured)
    found = []
    for given in asked.inputs:
        settings: Table = {}
        if given.purpose is not None and given.purpose != "image":
            settings["taskType"] = _NAMES[given.purpose]
        if given.title is not None:
            settings["title"] = given.title
        if asked.dimensions is not None:
            settings["outputDimensionality"] = asked.dimensions
        if configured and asked.truncate is not None:
            settings["autoTruncate"] = asked.truncate == "end"
        parts = [{"text": given.text}] if given.text is not None else [_written(part, notes) for part in given.parts]
        request: Table = {"content": {"parts": parts}}
        if configured and settings:
            request["embedContentConfig"] = settings
        else:
            request |= settings
        found.append(request)
    return found


def _limits(asked: Embed, notes: Notes, *, truncates: bool) -> None:
    """Note what Google's APIs cannot be told."""
    if any(given.tokens for given in asked.inputs):
        notes.lost("embed_tokens")
    if any(kind not in ("float", "base64") for kind in asked.types):
        notes.lost("embed_type", ", ".join(asked.types))
    if asked.truncate == "start" or (asked.truncate == "none" and not truncates):
        notes.lost("embed_truncate")
    if asked.normalize is not None:
        notes.lost("embed_normalize")
    if asked.user is not None:
        notes.lost("user")
    if asked.dialect != "gemini":
        told(dict(asked.extra), notes)


def _written(part: Text | Image, notes: Notes) -> Table:
    if type(part) is Text:
        return {"text": part.text}
    assert type(part) is Image
    source = part.source
    if source.url is not None and source.url.startswith("gs://"):
        return {"fileData": {"mimeType": source.media_type or "image/png", "fileUri": source.url}}
    return {"inlineData": {"mimeType": source.media_type or "image/png", "data": data_of(part, notes)}}


def render_predict(asked: Embed, target: Target, notes: Notes) -> list[bytes]:
    """Write Vertex AI's `predict`, as often as the inputs need it."""
    _limits(asked, notes, truncates=True)
    settings: Table = {}
    if asked.dimensions is not None:
        settings["outputDimensionality"] = asked.dimensions
    if asked.truncate is not None:
        settings["autoTruncate"] = asked.truncate == "end"
    instances = []
    for given in asked.inputs:
        if any(type(part) is Image for part in given.parts):
            notes.lost("embed_image", "`predict` takes texts")
        text = given.text
        if text is None:
            text = "\n".join(part.text for part in given.parts if type(part) is Text)
        instance: Table = {"content": text}
        if given.purpose is not None and given.purpose != "image":
            instance["task_type"] = _NAMES[given.purpose]
        if given.title is not None:
            instance["title"] = given.title
        instances.append(instance)
    more = {"parameters": settings} if settings else {}
    # The Gemini models take one at a time, the older ones more.
    most = 1 if "gemini" in target.model else MOST_PREDICTED
    return [
        msgspec.json.encode({"instances": instances[at : at + most], **more}) for at in range(0, len(instances), most)
    ]


# What providers write


class _Values(msgspec.Struct):
    values: msgspec.Raw


class _Batch(msgspec.Struct):
    embeddings: list[_Values]
    usage: msgspec.Raw = msgspec.field(name="usageMetadata", default=NOTHING)


class _Single(msgspec.Struct):
    embedding: _Values
    usage: msgspec.Raw = msgspec.field(name="usageMetadata", default=NOTHING)


class _Statistics(msgspec.Struct):
    token_count: float | None = None


class _Predicted(msgspec.Struct):
    values: msgspec.Raw
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Predicted


class _Predictions(msgspec.Struct):
    predictions: list[_Prediction]


_batch = msgspec.json.Decoder(_Batch)
_single = msgspec.json.Decoder(_Single)
_predictions = msgspec.json.Decoder(_Predictions)


def parse_batch_reply(body: bytes) -> Vectors:
    """Read a reply to `batchEmbedContents`."""
    found = reply_of(_batch, body)
    vectors = tuple(Vector(floats=each.values) for each in found.embeddings)
    return Vectors(vectors=vectors, usage=usage_of(table(found.usage)))


def parse_single_reply(body: bytes) -> Vectors:
    """Read a reply to `embedContent`."""
    found = reply_of(_single, body)
    return Vectors(vectors=(Vector(floats=found.embedding.values),), usage=usage_of(table(found.usage)))


def parse_predictions(body: bytes) -> Vectors:
    """Read a reply to `predict`; each of its vectors says how many tokens its text was."""
    found = reply_of(_predictions, body)
    counts = [each.embeddings.statistics for each in found.predictions]
    total = sum(int(count.token_count or 0) for count in counts if count is not None)
    vectors = tuple(Vector(floats=each.embeddings.values) for each in found.predictions)
    return Vectors(vectors=vectors, usage=Usage(input=total) if total else None)


# What callers read


def render_batch_reply(reply: Vectors, asked: Embed, _given: Given) -> bytes:
    """Write a reply to `batchEmbedContents`."""
    values = [{"values": vector.as_floats()} for vector in reply.vectors]
    return msgspec.json.encode({"embeddings": values, "usageMetadata": _counted(reply, asked)})


def render_single_reply(reply: Vectors, asked: Embed, _given: Given) -> bytes:
    """Write a reply to `embedContent`."""
    values = {"values": reply.vectors[0].as_floats()}
    return msgspec.json.encode({"embedding": values, "usageMetadata": _counted(reply, asked)})


def _counted(reply: Vectors, asked: Embed) -> Table:
    total = reply.usage.input_total if reply.usage is not None else words(asked)
    return {"promptTokenCount": total, "totalTokenCount": total}


def render_predictions(reply: Vectors, asked: Embed, _given: Given) -> bytes:
    """Write a reply to `predict`. Its tokens are shared out by the lengths of the texts: nobody counted each."""
    sizes = [len(given.text or "") or 1 for given in asked.inputs]
    total = reply.usage.input_total if reply.usage is not None else words(asked)
    shares = _shared(total, sizes)
    predictions = [
        {"embeddings": {"values": vector.as_floats(), "statistics": {"token_count": share, "truncated": False}}}
        for vector, share in zip(reply.vectors, shares, strict=False)
    ]
    return msgspec.json.encode({"predictions": predictions, "metadata": {"billableCharacterCount": sum(sizes)}})


def _shared(total: int, sizes: list[int]) -> list[int]:
    """Return whole shares of a total in proportion to sizes, which sum up to it."""
    whole = sum(sizes)
    shares = []
    seen = told = 0
    for size in sizes:
        seen += size
        share = total * seen // whole - told
        told += share
        shares.append(share)
    return shares
