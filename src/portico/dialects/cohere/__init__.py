"""Cohere"s v2 API."""

from portico.dialects.cohere.watch import CohereObserver, error_body, read_usage, stream_error

__all__ = ["CohereObserver", "error_body", "read_usage", "stream_error"]
