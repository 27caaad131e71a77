"""Whose a model is by how its makers name models: for the newest, the tuned and the retired, which are in no list.

The prefixes are those of the makers' own lists of models and of Bedrock's ids (docs.aws.amazon.com/bedrock, «Supported
foundation models» and «Inference profiles»), read 2026-11-20.
"""

import re
from typing import Final

_NAMED: Final = (
    (("bedrock",), (r"arn:aws[a-z-]*:bedrock:|(?:(?:us|us-gov|eu|apac|au|ca|jp|sa|global)\.)?"
     r"(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|nvidia|openai|qwen|stability|"
     r"twelvelabs|writer)\.")),
    (("anthropic",), "claude-"),
    (("openai",), (r"(?:ft:)?(?:gpt-|o[1-9](?:-|$)|chatgpt-|codex-|davinci-|babbage-)|text-embedding-(?:3|ada)-|"
     r"dall-e-|whisper-|tts-|omni-moderation-|computer-use-")),
    (("gemini", "vertex"), "gemini-|imagen-|veo-|text-embedding-0|text-multilingual-embedding-"),
    (("cohere",), "command-|c4ai-|embed-(?:v4|english|multilingual)|rerank-"),
    (("mistral",), "(?:open-)?(?:mistral|mixtral|ministral|magistral|codestral|devstral|pixtral|voxtral)-"),
    (("xai",), "grok-"),
    (("deepseek",), "deepseek-(?:chat|reasoner)"),
)  # fmt: skip
_PATTERNS: Final = tuple((rows, re.compile(pattern)) for rows, pattern in _NAMED)


def makers(name: str) -> tuple[str, ...]:
    """Return the rows of the catalog whose own API has models by such a name; none where the name tells nothing."""
    return next((rows for rows, pattern in _PATTERNS if pattern.match(name)), ())
