"""The measurement of planning measures every strategy that there is."""

from typing import get_args

from bench.planning import measure

from portico.config.schema import Strategy


def test_every_strategy_is_measured() -> None:
    figures = measure(3, rounds=1, repeats=2)
    assert {figure.strategy for figure in figures} == set(get_args(Strategy))
    assert all(figure.plan > 0 and figure.routed > 0 for figure in figures)
