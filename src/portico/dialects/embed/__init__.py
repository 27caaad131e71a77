"""Embeddings: what OpenAI, Gemini, Vertex AI, Cohere and Bedrock write for the same thing.

Each form reads a caller's request and writes its reply, and writes a provider's request and reads its reply. A provider
that takes fewer inputs at once than were asked for gets several requests.
"""

from portico.dialects.embed.asked import Embed, Input, Vector, Vectors
from portico.dialects.embed.table import FORMS, merged

__all__ = ["FORMS", "Embed", "Input", "Vector", "Vectors", "merged"]
