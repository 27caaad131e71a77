"""What happened: append-only segments, written by workers, one writer each, read by control and by recovery."""

from portico.journal.entries import Event, Kind
from portico.journal.journal import Journal

__all__ = ["Event", "Journal", "Kind"]
