"""Embeddings: what a caller of each shape asks, as a provider of each other shape gets it; and what comes back."""

import itertools
import json
from base64 import b64encode
from struct import pack
from typing import Any

import pytest

from portico.dialects.crossing import Given, Target
from portico.dialects.embed import FORMS
from portico.dialects.operations import OPERATIONS
from portico.dialects.tasks import Errand, Task
from portico.errors import BadUpstreamReply, InvalidRequest

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
PICTURE = f"data:image/png;base64,{PNG}"
TITAN = "amazon.titan-embed-text-v2:0"
EMBED_V4 = "us.cohere.embed-v4:0"
VALUES = [0.25, -0.5, 1.0]
BASE64 = b64encode(pack("<3f", *VALUES)).decode()

# One meaning, as callers of each shape write it.
TWO_QUERIES = {
    "embeddings": {"model": "m", "input": ["one", "two"], "dimensions": 3, "input_type": "query"},
    "cohere_embed": {
        "model": "m",
        "texts": ["one", "two"],
        "input_type": "search_query",
        "output_dimension": 3,
        "embedding_types": ["float"],
    },
    "batch_embed_contents": {
        "requests": [
            {
                "model": "models/m",
                "content": {"parts": [{"text": text}]},
                "taskType": "RETRIEVAL_QUERY",
                "outputDimensionality": 3,
            }
            for text in ("one", "two")
        ]
    },
    "predict": {
        "instances": [{"content": text, "task_type": "RETRIEVAL_QUERY"} for text in ("one", "two")],
        "parameters": {"outputDimensionality": 3},
    },
    "invoke": {"texts": ["one", "two"], "input_type": "search_query", "output_dimension": 3},
}
# The same, as providers of each shape get it: the model they serve, quirks, and their requests.
ASKED: dict[str, tuple[str, tuple[str, ...], list[dict[str, Any]]]] = {
    "embeddings": ("up", (), [{"model": "up", "input": ["one", "two"], "dimensions": 3}]),
    "embeddings voyage": (
        "up",
        ("embeddings_input_type",),
        [{"model": "up", "input": ["one", "two"], "output_dimension": 3, "input_type": "query"}],
    ),
    "embeddings jina": (
        "up",
        ("embeddings_task",),
        [{"model": "up", "input": ["one", "two"], "dimensions": 3, "task": "retrieval.query"}],
    ),
    "cohere_embed": ("up", (), [{"model": "up", **TWO_QUERIES["cohere_embed"]}]),
    "batch_embed_contents": (
        "up",
        (),
        [
            {
                "requests": [
                    {**request, "model": "models/up"} for request in TWO_QUERIES["batch_embed_contents"]["requests"]
                ]
            }
        ],
    ),
    "embed_content": (
        "up",
        (),
        [
            {"content": {"parts": [{"text": text}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 3}
            for text in ("one", "two")
        ],
    ),
    "embed_content vertex": (
        "up",
        ("embed_content_config",),
        [
            {
                "content": {"parts": [{"text": text}]},
                "embedContentConfig": {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 3},
            }
            for text in ("one", "two")
        ],
    ),
    "predict": ("text-embedding-005", (), [TWO_QUERIES["predict"]]),
    "invoke titan": (TITAN, (), [{"inputText": text, "dimensions": 3} for text in ("one", "two")]),
    "invoke cohere": (EMBED_V4, (), [{**TWO_QUERIES["invoke"], "embedding_types": ["float"]}]),
}
ASKED["cohere_embed"][2][0]["model"] = "up"


def given() -> Given:
    count = itertools.count(1)
    return Given(request_id="r", created=0, new_id=lambda prefix: f"{prefix}{next(count)}")


def errand(
    operation: str, body: Any, to: str, *, model: str = "up", quirks: tuple[str, ...] = (), strict: bool = False
) -> Errand:
    task = Task(OPERATIONS[operation], json.dumps(body).encode(), model="m")
    target = Target(model=model, dialect=OPERATIONS[to].dialect, quirks=frozenset(quirks))
    return Errand(task, to, target, given(), strict=strict)


def bodies(made: Errand) -> list[Any]:
    return [json.loads(body) for body in (made.body, *made.more)]


@pytest.mark.parametrize("to", ASKED)
@pytest.mark.parametrize("caller", TWO_QUERIES)
def test_what_is_asked_arrives_in_the_providers_words(caller: str, to: str) -> None:
    model, quirks, expected = ASKED[to]
    made = errand(caller, TWO_QUERIES[caller], to.split()[0], model=model, quirks=quirks)
    assert bodies(made) == expected
    unsaid = to in ("embeddings", "invoke titan")
    assert made.dropped == (["embed_purpose"] if unsaid else [])


# What providers of each shape answer: whole replies to the requests above.
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "embeddings": [
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": 1, "embedding": [0.125, 0.5]},
                {"object": "embedding", "index": 0, "embedding": VALUES},
            ],
            "model": "up",
            "usage": {"prompt_tokens": 7, "total_tokens": 7},
        }
    ],
    "cohere_embed": [
        {
            "id": "x",
            "embeddings": {"float": [VALUES, [0.125, 0.5]]},
            "texts": ["one", "two"],
            "meta": {"billed_units": {"input_tokens": 7}},
        }
    ],
    "batch_embed_contents": [
        {"embeddings": [{"values": VALUES}, {"values": [0.125, 0.5]}], "usageMetadata": {"promptTokenCount": 7}}
    ],
    "embed_content": [
        {"embedding": {"values": VALUES}, "usageMetadata": {"promptTokenCount": 3}},
        {"embedding": {"values": [0.125, 0.5]}, "usageMetadata": {"promptTokenCount": 4}},
    ],
    "predict": [
        {
            "predictions": [
                {"embeddings": {"values": VALUES, "statistics": {"token_count": 3.0, "truncated": False}}},
                {"embeddings": {"values": [0.125, 0.5], "statistics": {"token_count": 4.0}}},
            ]
        }
    ],
    "invoke titan": [
        {"embedding": VALUES, "inputTextTokenCount": 3},
        {"embedding": [0.125, 0.5], "inputTextTokenCount": 4},
    ],
    "invoke cohere": [{"embeddings": {"float": [VALUES, [0.125, 0.5]]}, "id": "x", "texts": ["one", "two"]}],
}


def vectors(caller: str, reply: Any) -> list[list[float]]:
    """Return the vectors of a reply as its caller's SDK finds them."""
    match caller:
        case "embeddings":
            return [datum["embedding"] for datum in reply["data"]]
        case "cohere_embed":
            return reply["embeddings"]["float"]
        case "invoke":
            return reply["embeddings"]
        case "predict":
            return [each["embeddings"]["values"] for each in reply["predictions"]]
    return [each["values"] for each in reply["embeddings"]]


@pytest.mark.parametrize("to", ANSWERS)
@pytest.mark.parametrize("caller", TWO_QUERIES)
def test_vectors_come_back_in_their_order(caller: str, to: str) -> None:
    model = {"invoke titan": TITAN, "invoke cohere": EMBED_V4, "predict": "text-embedding-005"}.get(to, "up")
    made = errand(caller, TWO_QUERIES[caller], to.split()[0], model=model)
    reply = json.loads(made.reply(*(json.dumps(answer).encode() for answer in ANSWERS[to])))
    assert vectors(caller, reply) == [VALUES, [0.125, 0.5]]


@pytest.mark.parametrize("types", [None, ["float"]])
def test_a_body_of_cohere_s_on_bedrock_finds_vectors_by_type_where_it_names_types(types: list[str] | None) -> None:
    body = TWO_QUERIES["invoke"] | ({} if types is None else {"embedding_types": types})
    made = errand("invoke", body, "cohere_embed")
    assert made.dropped == []
    reply = json.loads(made.reply(json.dumps(ANSWERS["cohere_embed"][0]).encode()))
    plain = [VALUES, [0.125, 0.5]]
    assert reply["embeddings"] == (plain if types is None else {"float": plain})
    assert reply["response_type"] == ("embeddings_floats" if types is None else "embeddings_by_type")


def test_each_caller_finds_the_usage_where_its_api_has_it() -> None:
    told = {}
    for caller in TWO_QUERIES:
        made = errand(caller, TWO_QUERIES[caller], "cohere_embed")
        told[caller] = json.loads(made.reply(json.dumps(ANSWERS["cohere_embed"][0]).encode()))
    assert told["embeddings"]["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert told["cohere_embed"]["meta"]["billed_units"] == {"input_tokens": 7}
    assert told["batch_embed_contents"]["usageMetadata"]["promptTokenCount"] == 7
    assert [each["embeddings"]["statistics"]["token_count"] for each in told["predict"]["predictions"]] == [3, 4]


def test_the_usage_of_several_requests_is_summed() -> None:
    made = errand("embeddings", TWO_QUERIES["embeddings"], "embed_content")
    reply = json.loads(made.reply(*(json.dumps(answer).encode() for answer in ANSWERS["embed_content"])))
    assert reply["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


@pytest.mark.parametrize("to", ["cohere_embed", "batch_embed_contents"])
def test_base64_is_made_of_numbers_for_callers_that_ask_for_it(to: str) -> None:
    made = errand("embeddings", {"model": "m", "input": "one", "encoding_format": "base64"}, to)
    assert b"base64" not in made.body, "floats keep their digits"
    answer = {"embeddings": {"float": [VALUES]}} if to == "cohere_embed" else {"embeddings": [{"values": VALUES}]}
    reply = json.loads(made.reply(json.dumps(answer).encode()))
    assert reply["data"][0]["embedding"] == BASE64


def test_numbers_are_made_of_base64_for_callers_that_ask_for_them() -> None:
    body = {"model": "m", "texts": ["one"], "input_type": "search_query", "embedding_types": ["float", "base64"]}
    made = errand("cohere_embed", body, "embeddings")
    answer = {"data": [{"index": 0, "embedding": BASE64}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    reply = json.loads(made.reply(json.dumps(answer).encode()))
    assert reply["embeddings"] == {"float": [VALUES], "base64": [BASE64]}


def test_digits_are_kept_as_they_were_written() -> None:
    made = errand("embeddings", {"model": "m", "input": "one"}, "batch_embed_contents")
    reply = made.reply(b'{"embeddings":[{"values":[0.10, 1.0e-3,-0.0123456789012345678]}]}')
    assert b'"embedding":[0.10, 1.0e-3,-0.0123456789012345678]' in reply


def test_more_than_a_provider_takes_becomes_several_requests() -> None:
    texts = [str(at) for at in range(250)]
    sizes = {
        "cohere_embed": [96, 96, 58],
        "batch_embed_contents": [100, 100, 50],
        "embed_content": [1] * 250,
        "predict": [250],
    }
    for to, expected in sizes.items():
        made = errand("embeddings", {"model": "m", "input": texts}, to)
        found = [body.get("texts") or body.get("requests") or body.get("instances") or [body] for body in bodies(made)]
        assert [len(each) for each in found] == expected, to
    made = errand("embeddings", {"model": "m", "input": texts}, "cohere_embed")
    assert [text for body in bodies(made) for text in body["texts"]] == texts


def test_inputs_for_several_purposes_go_apart_where_one_request_has_one() -> None:
    requests = [
        {"content": {"parts": [{"text": text}]}, "taskType": task}
        for text, task in (("a", "RETRIEVAL_QUERY"), ("b", 1), ("c", "RETRIEVAL_DOCUMENT"), ("d", 2), ("e", 5))
    ]
    made = errand("batch_embed_contents", {"requests": requests}, "cohere_embed")
    assert [(body["input_type"], body["texts"]) for body in bodies(made)] == [
        ("search_query", ["a", "b"]),
        ("search_document", ["c", "d"]),
        ("clustering", ["e"]),
    ]


def test_cohere_is_told_that_texts_are_documents_where_nobody_says() -> None:
    (body,) = bodies(errand("embeddings", {"model": "m", "input": "one"}, "cohere_embed"))
    assert body == {"model": "up", "texts": ["one"], "input_type": "search_document", "embedding_types": ["float"]}


PICTURES = {
    "cohere_embed": {"model": "m", "images": [PICTURE], "input_type": "image"},
    "batch_embed_contents": {
        "requests": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}}]
    },
    "invoke": {"inputImage": PNG},
    "embeddings": {"model": "m", "input": [{"image": PICTURE}]},
}


@pytest.mark.parametrize("caller", PICTURES)
def test_pictures_cross_where_both_can(caller: str) -> None:
    (cohere,) = bodies(errand(caller, PICTURES[caller], "cohere_embed"))
    (gemini,) = bodies(errand(caller, PICTURES[caller], "batch_embed_contents"))
    (titan,) = bodies(errand(caller, PICTURES[caller], "invoke", model="amazon.titan-embed-image-v1"))
    assert cohere["inputs"] == [{"content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}]
    assert cohere["input_type"] == "image"
    assert gemini["requests"][0]["content"]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": PNG}}]
    assert titan == {"inputImage": PNG}


REFUSED = {
    "tokens": ("embeddings", {"model": "m", "input": [[1, 2], [3]]}, "cohere_embed", "input", "check_embedding_ctx"),
    "one list of tokens": ("embeddings", {"model": "m", "input": [1, 2]}, "batch_embed_contents", "input", "tokens"),
    "a picture": ("cohere_embed", PICTURES["cohere_embed"], "embeddings", "input", "texts"),
    "an address": (
        "embeddings",
        {"model": "m", "input": [{"image": "https://example.com/a.png"}]},
        "cohere_embed",
        "input",
        "data only",
    ),
    "int8": (
        "cohere_embed",
        {"model": "m", "texts": ["a"], "embedding_types": ["int8"]},
        "embeddings",
        "embedding_types",
        "int8",
    ),
    "no input": ("embeddings", {"model": "m", "input": []}, "cohere_embed", "input", "texts"),
    "no content": ("batch_embed_contents", {"requests": [{}]}, "cohere_embed", "content", "parts"),
    "no texts": ("cohere_embed", {"model": "m", "texts": []}, "embeddings", "texts", "given"),
    "a strange type": (
        "cohere_embed",
        {"model": "m", "texts": ["a"], "embedding_types": ["float16"]},
        "embeddings",
        "embedding_types",
        "float",
    ),
    "another encoding": (
        "embeddings",
        {"model": "m", "input": "a", "encoding_format": "hex"},
        "cohere_embed",
        "encoding_format",
        "base64",
    ),
    "no dimensions": ("embeddings", {"model": "m", "input": "a", "dimensions": 0}, "cohere_embed", "dimensions", "1"),
    "a body of a chat": ("invoke", {"anthropic_version": "x", "messages": []}, "embeddings", None, "embeddings"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_said_is_refused_with_its_field(name: str) -> None:
    caller, body, to, param, word = REFUSED[name]
    with pytest.raises(InvalidRequest) as caught:
        errand(caller, body, to)
    assert caught.value.param == param
    assert word in caught.value.message


def test_a_size_is_refused_where_a_model_has_one() -> None:
    body = {"model": "m", "input": "a", "dimensions": 256}
    with pytest.raises(InvalidRequest, match="one size"):
        errand("embeddings", body, "invoke", model="amazon.titan-embed-text-v1")
    with pytest.raises(InvalidRequest, match="no embedding model"):
        errand("embeddings", body, "invoke", model="amazon.nova-lite-v1:0")


@pytest.mark.parametrize(
    ("caller", "body", "to", "dropped"),
    [
        ("embeddings", {"model": "m", "input": "a", "user": "u"}, "cohere_embed", ["user"]),
        ("embeddings", {"model": "m", "input": "a", "truncation": True}, "batch_embed_contents", []),
        ("embeddings", {"model": "m", "input": "a", "truncation": False}, "batch_embed_contents", ["embed_truncate"]),
        ("cohere_embed", {"model": "m", "texts": ["a"], "truncate": "END"}, "embeddings", []),
        ("cohere_embed", {"model": "m", "texts": ["a"], "truncate": "START"}, "embeddings", ["embed_truncate"]),
        ("cohere_embed", {"model": "m", "texts": ["a"], "priority": 3}, "embeddings", ["field"]),
        ("invoke", {"inputText": "a", "normalize": False}, "embeddings", ["embed_normalize"]),
        (
            "embed_content",
            {"content": {"parts": [{"text": "a"}]}, "taskType": "SEMANTIC_SIMILARITY", "title": "t"},
            "cohere_embed",
            ["embed_title", "embed_purpose"],
        ),
    ],
)
def test_what_is_dropped_is_named_and_refused_when_strict(
    caller: str, body: dict[str, Any], to: str, dropped: list[str]
) -> None:
    assert errand(caller, body, to).dropped == dropped
    if dropped:
        with pytest.raises(InvalidRequest):
            errand(caller, body, to, strict=True)


def test_a_reply_with_too_few_vectors_is_none() -> None:
    made = errand("embeddings", {"model": "m", "input": ["a", "b"]}, "batch_embed_contents")
    with pytest.raises(BadUpstreamReply, match="1 vectors for 2"):
        made.reply(b'{"embeddings":[{"values":[1]}]}')


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"data":1}', b'{"data":[{"embedding":null}]}', b"\xff"])
@pytest.mark.parametrize("to", ["embeddings", "cohere_embed", "batch_embed_contents", "embed_content", "predict"])
def test_a_reply_that_is_none_is_the_providers_fault(to: str, answer: bytes) -> None:
    made = errand("embeddings", {"model": "m", "input": "a", "encoding_format": "base64"}, to)
    with pytest.raises(BadUpstreamReply):
        made.reply(answer)


def test_tokens_are_estimated_where_the_provider_does_not_say() -> None:
    made = errand(
        "embeddings", {"model": "m", "input": "The quick brown fox jumps over the lazy dog."}, "embed_content"
    )
    reply = json.loads(made.reply(b'{"embedding":{"values":[1]}}'))
    assert 8 <= reply["usage"]["prompt_tokens"] <= 13


def test_every_form_reads_what_it_writes() -> None:
    for caller, body in TWO_QUERIES.items():
        asked = FORMS[caller].parse_request(json.dumps(body).encode(), "m")
        assert [each.text for each in asked.inputs] == ["one", "two"]
        assert {each.purpose for each in asked.inputs} == {"query"}
        assert asked.dimensions == 3
