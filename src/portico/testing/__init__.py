"""Fakes that ship: a provider of every dialect, a clock, faults on demand."""
