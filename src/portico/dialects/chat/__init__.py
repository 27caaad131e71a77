"""OpenAI"s chat completions, completions and embeddings, as OpenAI and the many that follow it speak them."""

from portico.dialects.chat.watch import ChatObserver, read_usage, stream_error

__all__ = ["ChatObserver", "read_usage", "stream_error"]
