"""TLS towards origins: whom we trust, and who we say we are."""

import ssl

from portico.errors import ConfigError
from portico.wire.origin import Settings


def client_context(settings: Settings) -> ssl.SSLContext:
    """Return a context that verifies origins by `settings.ca`, else by the system's authorities, and speaks HTTP/1.1.

    Raises ConfigError for files that cannot be used. Loading the system's authorities takes milliseconds: keep it.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"certificate authorities {settings.ca!r} cannot be used: {_reason(error)}") from None
    if settings.client_cert is not None:
        try:
            # an empty password, so that an encrypted key is refused instead of asked for on a terminal
            context.load_cert_chain(settings.client_cert, settings.client_key, password="")
        except OSError as error:
            message = f"client certificate {settings.client_cert!r} with key {settings.client_key!r} cannot be used"
            raise ConfigError(f"{message}: {_reason(error)}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _reason(error: OSError) -> str:
    return error.strerror or (error.args[0] if error.args else type(error).__name__)
