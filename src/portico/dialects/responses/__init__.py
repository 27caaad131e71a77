"""OpenAI"s Responses."""

from portico.dialects.responses.watch import ResponsesObserver, read_usage, stream_error

__all__ = ["ResponsesObserver", "read_usage", "stream_error"]
