"""Recorded embeddings, rankings and counts: each request put to every other API, each reply told to every caller."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.framing.recordings import body_of, load

from portico.dialects.crossing import Given, Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.tasks import Errand, Task
from portico.dialects.usage import read_usage
from portico.errors import InvalidRequest

GIVEN = Given(request_id="r", created=0, new_id=lambda prefix: f"{prefix}1")
APIS = {
    "embeddings": "embeddings",
    "v2_embed": "cohere_embed",
    "v1_embed": "cohere_embed",
    "batchEmbedContents": "batch_embed_contents",
    "embedContent": "embed_content",
    "predict": "predict",
    "v2_rerank": "cohere_rerank",
    "v1_rerank": "rerank",
    "rerank": "rerank",
    "count_tokens": "messages_count_tokens",
    "countTokens": "gemini_count_tokens",
}
EMBED = ("embeddings", "cohere_embed", "batch_embed_contents", "embed_content", "predict", "invoke")
RANK = ("cohere_rerank", "rerank")
COUNT = ("messages_count_tokens", "responses_input_tokens", "gemini_count_tokens", "converse_count_tokens")


def recorded() -> Iterator[tuple[str, str, dict[str, Any], bytes]]:
    """Yield operation, model, request and reply of what was recorded with a good end."""
    for record in load():
        body, path = record["request"].get("body"), record["request"]["path"]
        operation = APIS.get(record["api"])
        if record["api"] == "invoke" and ("titan-embed" in path or "cohere.embed" in path):
            operation = "invoke"
        elif path.endswith("/count-tokens"):
            operation = "converse_count_tokens"
        elif path.endswith("/responses/input_tokens"):
            operation = "responses_input_tokens"
        if operation is None or record["response"]["status"] != 200 or not isinstance(body, dict):
            continue
        if path.endswith(("/api/embed", "/api/embeddings")) or "bytesBase64Encoded" in str(record["response"]):
            continue  # Ollama's own API, and pictures that are predicted
        if operation == "invoke" and body_of(record).startswith(b'{"data"'):
            continue  # not from Bedrock: a stand-in of the project that recorded it answered in OpenAI's shape
        model = path.split("/")[2] if operation == "invoke" else "up"
        yield operation, model, body, body_of(record)


def vectors(operation: str, body: Any) -> list[Any]:
    """Return the vectors of a reply, by hand."""
    match operation:
        case "embeddings":
            return [datum["embedding"] for datum in body["data"]]
        case "batch_embed_contents":
            return [each["values"] for each in body["embeddings"]]
        case "embed_content":
            return [body["embedding"]["values"]]
        case "predict":
            return [each["embeddings"]["values"] for each in body["predictions"]]
    if "embedding" in body:
        return [body["embedding"]]
    found = body["embeddings"]
    return found["float"] if isinstance(found, dict) else found


def test_recorded_embeddings_cross_with_all_their_texts_and_vectors() -> None:
    seen: Counter[str] = Counter()
    for operation, model, body, reply in recorded():
        if operation not in EMBED:
            continue
        task = Task(OPERATIONS[operation], json.dumps(body).encode(), model="m")
        texts = [text for given in task.asked.inputs for text in (given.text,) if text is not None]
        own = Errand(task, operation, Target(model=model, dialect=OPERATIONS[operation].dialect), GIVEN)
        told = vectors(operation, json.loads(own.reply(reply)))
        encoded = task.asked.types == ("base64",)
        assert len(told) == len(task.asked.inputs)
        if not encoded:
            assert told == vectors(operation, json.loads(reply))
        for to in EMBED:
            named = "amazon.titan-embed-text-v2:0" if to == "invoke" else "up"
            try:
                errand = Errand(task, to, Target(model=named, dialect=OPERATIONS[to].dialect), GIVEN)
            except InvalidRequest as error:
                # Tokens, pictures, sizes and types that the other API has not: what it is about is named.
                seen["refused" if error.param else "refused without a reason"] += 1
                continue
            written = "".join(each.decode() for each in (errand.body, *errand.more))
            for text in texts:
                assert json.dumps(text, ensure_ascii=False)[1:-1] in written or json.dumps(text)[1:-1] in written
            seen[f"{operation} to {to}"] += 1
        usage = read_usage(OPERATIONS[operation], reply)
        assert usage is None or usage.output == 0
    assert not seen["refused without a reason"]
    assert seen["refused"] < 40
    for operation in EMBED:
        assert seen[f"{operation} to cohere_embed"], operation


def test_recorded_rankings_cross_with_all_their_documents_and_scores() -> None:
    seen = 0
    for operation, _, body, reply in recorded():
        if operation not in RANK:
            continue
        task = Task(OPERATIONS[operation], json.dumps(body).encode(), model="m")
        expected = json.loads(reply)
        scores = [(each["index"], each["relevance_score"]) for each in expected.get("results") or expected["data"]]
        for to in RANK:
            errand = Errand(task, to, Target(model="up", dialect="cohere"), GIVEN)
            assert len(json.loads(errand.body)["documents"]) == len(body["documents"])
            told = json.loads(errand.reply(reply))
            assert [(each["index"], each["relevance_score"]) for each in told.get("results") or told["data"]] == scores
            assert "usage" in told or "billed_units" in told["meta"]
        seen += 1
    assert seen >= 5


@pytest.mark.parametrize("to", COUNT)
def test_recorded_requests_to_be_counted_cross(to: str) -> None:
    seen = 0
    for operation, _, body, reply in recorded():
        if operation not in COUNT:
            continue
        task = Task(OPERATIONS[operation], json.dumps(body).encode(), model="claude-sonnet-4-5")
        told = json.loads(reply)
        count = told.get("input_tokens") or told.get("totalTokens") or told["inputTokens"]
        own = Errand(task, operation, Target(model="up", dialect=OPERATIONS[operation].dialect), GIVEN)
        assert str(count).encode() in own.reply(reply)
        try:
            errand = Errand(task, to, Target(model="up", dialect=OPERATIONS[to].dialect), GIVEN)
        except InvalidRequest:
            continue
        json.loads(errand.body)
        seen += 1
    assert seen >= 12
