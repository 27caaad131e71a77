"""Reads a litellm proxy configuration as one of Portico's, and lists whatever is not carried over."""

from portico.config.litellm.convert import Imported, convert, recognised
from portico.config.litellm.write import render

__all__ = ["Imported", "convert", "recognised", "render"]
