"""Every operation for embeddings, and how it is written."""

from portico.dialects.embed import bedrock, cohere, gemini, openai
from portico.dialects.embed.asked import Embed, Vectors
from portico.dialects.forms import Form
from portico.dialects.tokens import summed

FORMS: dict[str, Form[Embed, Vectors]] = {
    "embeddings": Form(openai.parse_request, openai.render_request, openai.parse_reply, openai.render_reply),
    "cohere_embed": Form(cohere.parse_request, cohere.render_request, cohere.parse_reply, cohere.render_reply),
    "batch_embed_contents": Form(
        gemini.parse_batch, gemini.render_batch, gemini.parse_batch_reply, gemini.render_batch_reply
    ),
    "embed_content": Form(
        gemini.parse_single, gemini.render_single, gemini.parse_single_reply, gemini.render_single_reply
    ),
    "predict": Form(gemini.parse_predict, gemini.render_predict, gemini.parse_predictions, gemini.render_predictions),
    "invoke": Form(bedrock.parse_request, bedrock.render_request, bedrock.parse_reply, bedrock.render_reply),
}
"""How each operation for embeddings is written."""


def merged(replies: list[Vectors]) -> Vectors:
    """Return the replies to the several requests that one became, as one."""
    first = replies[0]
    if len(replies) == 1:
        return first
    return Vectors(
        vectors=tuple(vector for reply in replies for vector in reply.vectors),
        model=first.model,
        id=first.id,
        usage=summed([reply.usage for reply in replies]),
    )
