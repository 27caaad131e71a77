"""One tree of errors: each knows its status, its stable code, whose fault it is, and whether another target may help.

An error is raised where it is found, in these words, and written in the caller's dialect at the edge
(`dialects.errors.render_error`). Foreign exceptions are mapped to these once, where the I/O happens.
"""

from typing import ClassVar, Final, Literal, TypeVar

Fault = Literal["caller", "gateway", "upstream"]
AnError = TypeVar("AnError", bound=BaseException)

_CHAIN: Final = 16  # errors of which one was raised while the other was handled


class PorticoError(Exception):
    """A call, a command or a configuration that cannot go on.

    `message` is for a person: it names the thing, where it stood and what to do. `code` is for a program and
    never changes. `param` is the field of the request at fault, as the caller wrote it. `retry_after` is in seconds.
    `request_id` is a provider's name for the call, where it told one with its error.
    """

    status: int = 500
    code: str = "internal_error"
    fault: ClassVar[Fault] = "gateway"
    another_may_help: bool = False
    request_id: str | None = None

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


def untraced(error: AnError) -> AnError:
    """Return an error that is kept, without the frames it came through: they hold what holds it."""
    at: BaseException | None = error
    for _ in range(_CHAIN):
        if at is None:
            break
        at.__traceback__ = None
        at = at.__cause__ or at.__context__
    return error


# The caller's making


class InvalidRequest(PorticoError):
    """The request cannot be understood or is not allowed as it is."""

    status = 400
    code = "invalid_request"
    fault = "caller"


class Unauthenticated(PorticoError):
    """No key, or one that nobody knows."""

    status = 401
    code = "invalid_api_key"
    fault = "caller"


class Forbidden(PorticoError):
    """A known key that may not do this."""

    status = 403
    code = "permission_denied"
    fault = "caller"


class LimitExceeded(PorticoError):
    """A limit of requests, tokens or calls at once is used up for now; `retry_after` says for how long."""

    status = 429
    code = "rate_limit_exceeded"
    fault = "caller"


class BudgetExceeded(PorticoError):
    """A budget has no room for what the call might use; asking again soon does not help."""

    status = 429
    code = "budget_exceeded"
    fault = "caller"


class UnboundedCall(PorticoError):
    """A call that might use anything, under a budget that must hold."""

    status = 400
    code = "unbounded_call"
    fault = "caller"


class NotFound(PorticoError):
    """No such route or object."""

    status = 404
    code = "not_found"
    fault = "caller"


class ModelNotFound(NotFound):
    """No target answers to this model name."""

    code = "model_not_found"


class NoTarget(PorticoError):
    """All targets of a model are left out: what the call needs, or what it may not do, leaves none.

    `aside` says why of each, by its name.
    """

    status = 400
    code = "no_target"
    fault = "caller"

    def __init__(self, message: str, aside: dict[str, str]) -> None:
        super().__init__(message, param="model")
        self.aside = aside


class Conflict(PorticoError):
    """What is asked for cannot be done to an object as it stands."""

    status = 409
    code = "conflict"
    fault = "caller"


class MethodNotAllowed(PorticoError):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"
    fault = "caller"


class RequestTimeout(PorticoError):
    """The caller took too long to send its request."""

    status = 408
    code = "request_timeout"
    fault = "caller"


class TooLarge(PorticoError):
    """A body over its limit."""

    status = 413
    code = "request_too_large"
    fault = "caller"


class UrlTooLong(PorticoError):
    """A request line over its limit."""

    status = 414
    code = "url_too_long"
    fault = "caller"


class UnsupportedMedia(PorticoError):
    """A body in a coding, or of a type, that is not read here."""

    status = 415
    code = "unsupported_media_type"
    fault = "caller"


class HeadersTooLarge(PorticoError):
    """More or longer headers than allowed."""

    status = 431
    code = "headers_too_large"
    fault = "caller"


class NotImplementedHere(PorticoError):
    """Something of HTTP or of an API that this gateway does not do."""

    status = 501
    code = "not_implemented"
    fault = "caller"


class VersionNotSupported(PorticoError):
    """An HTTP version other than 1.0 and 1.1."""

    status = 505
    code = "http_version_not_supported"
    fault = "caller"


# Ours


class Overloaded(PorticoError):
    """This worker holds as much as it may."""

    status = 503
    code = "overloaded"


class AtCapacity(PorticoError):
    """All targets of a call have as many calls as they may have for now."""

    status = 503
    code = "at_capacity"


class JournalFull(PorticoError):
    """The disk is full: a call that could not be recorded is not taken."""

    status = 503
    code = "journal_full"


class ShuttingDown(PorticoError):
    """This worker takes no new calls."""

    status = 503
    code = "shutting_down"


class StateUnavailable(PorticoError):
    """The counters that every call needs cannot be used: not this machine's, gone, or broken."""

    status = 503
    code = "state_unavailable"


class StateFull(StateUnavailable):
    """The counters that every call needs have no room left; calls under way are still settled."""

    code = "state_full"


class ConfigError(PorticoError):
    """A configuration that cannot be put in force. Its message holds every problem found, one a line."""

    code = "invalid_configuration"


# The provider's


class UpstreamError(PorticoError):
    """The provider could not be used."""

    status = 502
    code = "upstream_error"
    fault = "upstream"
    another_may_help = True


class ConnectFailed(UpstreamError):
    """No connection could be made: refused, unreachable, unknown host, TLS. Nothing was sent."""

    code = "upstream_unreachable"


class ConnectionLost(UpstreamError):
    """The connection broke after the request was sent and before the reply was whole.

    `sent` is False where it was found closed before a byte was written; `replied` says whether any byte of a reply
    arrived.
    """

    code = "upstream_connection_lost"

    def __init__(self, message: str, *, sent: bool = True, replied: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.replied = replied


class BadUpstreamReply(UpstreamError):
    """The reply is not HTTP, or not what its headers say."""

    code = "upstream_bad_reply"


class UpstreamTimeout(UpstreamError):
    """A deadline passed: `phase` says which (connect, first_byte, between_chunks, total)."""

    status = 504
    code = "upstream_timeout"

    def __init__(self, message: str, *, phase: str) -> None:
        super().__init__(message)
        self.phase = phase


class CredentialError(UpstreamError):
    """The credential for a provider is missing or could not be obtained or refreshed."""

    code = "upstream_credential"


class UpstreamRefused(UpstreamError):
    """The provider answered with an error, told in its own words.

    `status` is the one to be told to the caller, `code` the provider's own word.
    """

    code = "upstream_status"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after)
        self.status = status
        if code is not None:
            self.code = code
        self.request_id = request_id
