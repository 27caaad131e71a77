"""Anthropic"s Messages."""

from portico.dialects.messages.watch import MessagesObserver, error_body, read_usage, stream_error, usage

__all__ = ["MessagesObserver", "error_body", "read_usage", "stream_error", "usage"]
