"""The certificate that callers are served with, and its renewal without a restart."""

import ssl

from portico.config.schema import Tls
from portico.errors import ConfigError


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return the context of a listening port. Raises ConfigError for a certificate that cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, tls)
    return context


def load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    """Present this certificate to callers who connect from now on. Raises ConfigError."""
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise ConfigError(
            f"server.tls: the certificate {tls.cert!r} with the key {tls.key!r} cannot be used: {reason}"
        ) from error
