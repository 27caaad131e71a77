"""Amazon Bedrock"s Converse."""

from portico.dialects.converse.watch import (
    ConverseObserver,
    MessageObserver,
    error_body,
    exception,
    read_usage,
    stream_error,
    usage,
)

__all__ = ["ConverseObserver", "MessageObserver", "error_body", "exception", "read_usage", "stream_error", "usage"]
