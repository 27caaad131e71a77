"""What is read of Gemini's replies and of Vertex AI's predictions; the rest is skipped."""

import msgspec

from portico.dialects.tokens import NOTHING


class Grounding(msgspec.Struct):
    """What was searched for."""

    queries: list[str] | None = msgspec.field(name="webSearchQueries", default=None)


class Candidate(msgspec.Struct):
    """One answer."""

    grounding: Grounding | None = msgspec.field(name="groundingMetadata", default=None)


class Reply(msgspec.Struct):
    """A whole reply, or one element of a stream."""

    usage: msgspec.Raw = msgspec.field(name="usageMetadata", default=NOTHING)
    candidates: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


class Statistics(msgspec.Struct):
    """The tokens of one text."""

    token_count: float | None = None


class Embedded(msgspec.Struct):
    """One vector."""

    statistics: Statistics | None = None


class Prediction(msgspec.Struct):
    """What was made of one text."""

    embeddings: Embedded | None = None


class Predictions(msgspec.Struct):
    """What was made of all."""

    predictions: list[Prediction]
