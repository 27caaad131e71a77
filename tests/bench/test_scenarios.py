"""What a measurement waits for."""

from pathlib import Path

import pytest

from bench import scenarios

BENCH = scenarios.Bench([], Path(), scenarios.QUICK, [], (0, 1))


@pytest.mark.parametrize(
    ("busy", "left", "waited"),
    [
        pytest.param([(5.0, 9.0), (5.0, 9.05)], True, 1, id="nobody is there"),
        pytest.param([(5.0, 9.0), (5.9, 9.0), (6.3, 9.0), (6.35, 9.0)], True, 3, id="until somebody is done"),
        pytest.param([(0.5 * second, 0.0) for second in range(100)], False, 60, id="no longer than a minute"),
    ],
)
def test_a_round_is_measured_again_once_others_let_the_cores_be(
    monkeypatch: pytest.MonkeyPatch, busy: list[tuple[float, float]], left: bool, waited: int
) -> None:
    waits: list[float] = []
    looks = iter([look for number, look in enumerate(busy) for _ in range(1 if number in (0, len(busy) - 1) else 2)])
    monkeypatch.setattr(scenarios, "_cores", lambda _: next(looks))
    assert scenarios.left_alone(BENCH, lambda: float(len(waits)), waits.append) is left
    assert len(waits) == waited
