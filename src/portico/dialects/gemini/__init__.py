"""Google"s Gemini."""

from portico.dialects.gemini.watch import GeminiObserver, error_body, read_usage, stream_error

__all__ = ["GeminiObserver", "error_body", "read_usage", "stream_error"]
