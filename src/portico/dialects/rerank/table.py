"""Every operation that ranks, and how it is written."""

from portico.dialects.forms import Form
from portico.dialects.rerank import bedrock, cohere, jina
from portico.dialects.rerank.asked import Rank, Ranking

FORMS: dict[str, Form[Rank, Ranking]] = {
    "cohere_rerank": Form(cohere.parse_request, cohere.render_request, cohere.parse_reply, cohere.render_reply),
    "rerank": Form(jina.parse_request, jina.render_request, jina.parse_reply, jina.render_reply),
    "invoke": Form(bedrock.parse_request, bedrock.render_request, cohere.parse_reply, cohere.render_reply),
}
"""How each operation that ranks is written."""
