"""Bedrock's `invoke` of Amazon's and Cohere's rerank models.

https://docs.aws.amazon.com/bedrock/latest/userguide/rerank-supported.html (read 2026-11-20). The bodies are Cohere's;
the model stands in the path.
"""

import msgspec

from portico.dialects.crossing import Notes, Target
from portico.dialects.forms import fields_of
from portico.dialects.rerank import cohere
from portico.dialects.rerank.asked import Rank, read


def ranks(model: str) -> bool:
    """Return whether a model of Bedrock's ranks documents."""
    return "cohere.rerank" in model or "amazon.rerank" in model


def parse_request(body: bytes, model: str) -> Rank:
    """Read a request."""
    fields = fields_of(body)
    fields.pop("api_version", None)
    return read(fields, "converse", "cohere", model)


def render_request(asked: Rank, target: Target, notes: Notes) -> list[bytes]:
    """Write a request."""
    if asked.per_document is not None and "amazon." in target.model:
        notes.lost("rerank_per_document")
        asked = msgspec.structs.replace(asked, per_document=None)
    fields = cohere.rendered(asked, notes)
    if "cohere." in target.model:
        fields["api_version"] = 2
    return [msgspec.json.encode(fields)]
