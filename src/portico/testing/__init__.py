"""Fakes that ship: a provider of every dialect, a clock, faults on demand."""

from portico.testing.clock import Clock, FakeClock, LoopClock
from portico.testing.controls import Controls
from portico.testing.faults import Canned, Script
from portico.testing.hosted import HostedMock
from portico.testing.ledger import Entry, Ledger, Totals
from portico.testing.mock import MockProvider
from portico.testing.words import tokens

__all__ = [
    "Canned",
    "Clock",
    "Controls",
    "Entry",
    "FakeClock",
    "HostedMock",
    "Ledger",
    "LoopClock",
    "MockProvider",
    "Script",
    "Totals",
    "tokens",
]
