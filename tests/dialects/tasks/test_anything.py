"""Whatever the bytes: readers of requests and replies for embeddings, rankings and counts raise our errors alone."""

import json
import re
from collections import Counter
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dialects.odd_cases import damages, outcome

from portico.dialects import counting, embed, rerank
from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.tasks import Errand, Task
from portico.errors import BadUpstreamReply, InvalidRequest

GIVEN = Given(request_id="r", created=0, new_id=lambda prefix: f"{prefix}1")
few = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIELDS = re.findall(
    r"\w+",
    "model input texts images inputs input_type embedding_types truncate dimensions"
    " output_dimension encoding_format requests content parts text inlineData data mimeType"
    " taskType title outputDimensionality embedContentConfig instances parameters inputText inputImage embeddingConfig"
    " query documents top_n top_k return_documents rank_fields truncation messages system"
    " tools contents generateContentRequest converse invokeModel body embedding embeddings float"
    " base64 values results relevance_score index usage meta predictions statistics",
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3000)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["", "a", "float", "base64", "search_query", "RETRIEVAL_QUERY", "data:image/png;base64,AAAA", "%"]
    )
)
anything: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)
tables = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=6)
FORMS = {
    **{f"embed {name}": (name, form) for name, form in embed.FORMS.items()},
    **{f"rank {name}": (name, form) for name, form in rerank.FORMS.items()},
    **{f"count {name}": (name, form) for name, form in counting.FORMS.items()},
}


RANKING = {"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2}
SOUND: dict[str, dict[str, Any]] = {
    "embed embeddings": {"model": "m", "input": ["a"], "dimensions": 3, "encoding_format": "base64"},
    "embed cohere_embed": {
        "model": "m",
        "texts": ["a"],
        "input_type": "search_query",
        "output_dimension": 3,
        "embedding_types": ["float"],
    },
    "embed batch_embed_contents": {
        "requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY"}]
    },
    "embed embed_content": {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 3},
    "embed predict": {"instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}], "parameters": {}},
    "embed invoke": {"inputText": "a", "dimensions": 3},
    "rank cohere_rerank": RANKING,
    "rank rerank": RANKING,
    "rank invoke": {**RANKING, "api_version": 2},
    "count messages_count_tokens": {
        "model": "m",
        "system": "b",
        "messages": [{"role": "user", "content": "a"}],
        "tools": [{"name": "t", "input_schema": {}}],
    },
    "count responses_input_tokens": {"model": "m", "input": [{"role": "user", "content": "a"}]},
    "count gemini_count_tokens": {"contents": [{"role": "user", "parts": [{"text": "a"}]}]},
    "count converse_count_tokens": {
        "input": {"converse": {"messages": [{"role": "user", "content": [{"text": "a"}]}]}}
    },
}
"""A request of each form that is taken as it is."""


def passed_on(form: str, body: Any) -> None:
    name, written = FORMS[form]
    asked = written.parse_request(json.dumps(body).encode(), "m")
    target = Target(model="amazon.titan-embed-text-v2:0", dialect=OPERATIONS[name].dialect)
    for rendered in written.render_request(asked, target, Notes(OPERATIONS[name].dialect)):
        json.loads(rendered)


@pytest.mark.parametrize("form", FORMS)
@few
@given(body=tables | anything)
def test_a_request_is_read_or_refused(form: str, body: Any) -> None:
    outcome(lambda: passed_on(form, body), InvalidRequest)


@pytest.mark.parametrize("form", FORMS)
def test_a_sound_request_with_one_odd_value_is_read_or_refused(form: str) -> None:
    passed_on(form, SOUND[form])
    came = Counter(outcome(partial(passed_on, form, body), InvalidRequest) for body in damages(SOUND[form]))
    assert min(came["taken"], came["refused"]) > 2, came


@pytest.mark.parametrize("form", FORMS)
@few
@given(body=st.binary(max_size=40))
def test_bytes_are_read_or_refused(form: str, body: bytes) -> None:
    _, written = FORMS[form]
    with pytest.raises(InvalidRequest):
        written.parse_request(b"\xff" + body, "m")


ASKED = {
    "embeddings": {"model": "m", "input": ["a"], "encoding_format": "base64"},
    "cohere_rerank": {"model": "m", "query": "q", "documents": ["a", "b"]},
    "messages_count_tokens": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
}
ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("embeddings", "embeddings"): {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1}},
    ("embeddings", "cohere_embed"): {"embeddings": {"float": [[0.5]]}, "meta": {"billed_units": {"input_tokens": 1}}},
    ("embeddings", "batch_embed_contents"): {"embeddings": [{"values": [0.5]}], "usageMetadata": {}},
    ("embeddings", "embed_content"): {"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 1}},
    ("embeddings", "predict"): {"predictions": [{"embeddings": {"values": [0.5], "statistics": {"token_count": 1.0}}}]},
    ("embeddings", "invoke"): {"embedding": [0.5], "inputTextTokenCount": 1},
    ("cohere_rerank", "rerank"): {"results": [{"index": 1, "relevance_score": 0.5}], "usage": {"total_tokens": 1}},
    ("messages_count_tokens", "gemini_count_tokens"): {"totalTokens": 42},
}
"""What a caller of one form may be told by a provider of another."""


def told(caller: str, to: str, body: Any) -> None:
    task = Task(OPERATIONS[caller], json.dumps(ASKED[caller]).encode(), model="m")
    target = Target(model="amazon.titan-embed-text-v2:0", dialect=OPERATIONS[to].dialect)
    json.loads(Errand(task, to, target, GIVEN).reply(json.dumps(body).encode()))


@pytest.mark.parametrize(("caller", "to"), ANSWERS)
@few
@given(body=tables | anything)
def test_a_reply_is_read_or_the_providers_fault(caller: str, to: str, body: Any) -> None:
    outcome(lambda: told(caller, to, body), BadUpstreamReply)


@pytest.mark.parametrize(("caller", "to"), ANSWERS)
def test_a_sound_reply_with_one_odd_value_is_read_or_the_providers_fault(caller: str, to: str) -> None:
    told(caller, to, ANSWERS[caller, to])
    came = Counter(outcome(partial(told, caller, to, body), BadUpstreamReply) for body in damages(ANSWERS[caller, to]))
    assert min(came["taken"], came["refused"]) > 2, came
