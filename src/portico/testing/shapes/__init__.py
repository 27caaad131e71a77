"""How each dialect is read and written: pure functions from a request to an ask, and from an answer to bytes."""

from portico.testing.shapes import bedrock, chat, cohere, gemini, messages, openai, responses
from portico.testing.shapes.lines import Shape

SHAPES: dict[str, Shape] = {
    **chat.SHAPES,
    **responses.SHAPES,
    **openai.SHAPES,
    **messages.SHAPES,
    **gemini.SHAPES,
    **bedrock.SHAPES,
    **cohere.SHAPES,
}
"""The shape of every operation the mock serves."""
