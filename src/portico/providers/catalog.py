"""Everything that the rest of Portico needs to know of providers: the rows, and providers made of them."""

from portico.providers.address import Endpoint
from portico.providers.provider import Provider
from portico.providers.resolve import discover, resolve
from portico.providers.row import CATALOG, MODELS, PATHS, QUIRKS, Row

__all__ = ["CATALOG", "MODELS", "PATHS", "QUIRKS", "Endpoint", "Provider", "Row", "discover", "resolve"]
