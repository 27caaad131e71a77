"""Ranking documents by a query: what Cohere, Jina, Voyage and Bedrock write for the same thing."""

from portico.dialects.rerank.asked import Rank, Ranking
from portico.dialects.rerank.table import FORMS

__all__ = ["FORMS", "Rank", "Ranking"]
