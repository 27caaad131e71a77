"""How a provider is told who calls: one file per scheme, none of them does I/O of its own."""

from portico.providers.auth.scheme import Auth, Clock, Fetch, Headers

__all__ = ["Auth", "Clock", "Fetch", "Headers"]
