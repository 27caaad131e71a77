"""What the commonest `usage` object of OpenAI's APIs, and of those that follow them, is read as."""

import msgspec


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: int = 0
    audio_tokens: int = 0


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Plain(msgspec.Struct, forbid_unknown_fields=True):
    """The commonest `usage` object; anything more in it is another."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: _Asked | None = None
    completion_tokens_details: _Given | None = None
