"""Whatever the bytes: readers of requests and replies for embeddings, rankings and counts raise our errors alone."""

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize("form", FORMS)
@few
@given(body=tables | anything)
def test_a_request_is_read_or_refused(form: str, body: Any) -> None:
    name, written = FORMS[form]
    try:
        asked = written.parse_request(json.dumps(body).encode(), "m")
        target = Target(model="amazon.titan-embed-text-v2:0", dialect=OPERATIONS[name].dialect)
        for rendered in written.render_request(asked, target, Notes(OPERATIONS[name].dialect)):
            json.loads(rendered)
    except InvalidRequest:
        pass


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
PAIRS = [
    ("embeddings", "embeddings"),
    ("embeddings", "cohere_embed"),
    ("embeddings", "batch_embed_contents"),
    ("embeddings", "embed_content"),
    ("embeddings", "predict"),
    ("embeddings", "invoke"),
    ("cohere_rerank", "rerank"),
    ("messages_count_tokens", "gemini_count_tokens"),
]


@pytest.mark.parametrize(("caller", "to"), PAIRS)
@few
@given(body=tables | anything)
def test_a_reply_is_read_or_the_providers_fault(caller: str, to: str, body: Any) -> None:
    task = Task(OPERATIONS[caller], json.dumps(ASKED[caller]).encode(), model="m")
    target = Target(model="amazon.titan-embed-text-v2:0", dialect=OPERATIONS[to].dialect)
    errand = Errand(task, to, target, GIVEN)
    with contextlib.suppress(BadUpstreamReply):
        json.loads(errand.reply(json.dumps(body).encode()))
