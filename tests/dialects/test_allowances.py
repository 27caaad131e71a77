"""What is left of a caller's limits, as each dialect's clients read it."""

import pytest

from portico.dialects.allowances import render_allowances
from portico.types import Dialect

NOW = 1_750_000_000.0


def said(*allowances: tuple[str, int, int, float], dialect: Dialect = "chat") -> dict[str, str]:
    """Of each limit what it counts, how much, what is left of that, and in how many seconds all of it is back."""
    limits = tuple(
        (at, counted, amount, round(every * 10**9)) for at, (counted, amount, _, every) in enumerate(allowances)
    )
    text = render_allowances(dialect, limits, [left for _, _, left, _ in allowances], NOW)
    assert text == "" or text.endswith("\r\n")
    return dict(line.split(": ") for line in text.splitlines())


def test_openais_clients_read_the_limit_what_is_left_and_when_it_is_back() -> None:
    assert said(("requests", 60, 59, 60), ("input_tokens", 10_000, 7_500, 60)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-input-tokens": "10000",
        "x-ratelimit-remaining-input-tokens": "7500",
        "x-ratelimit-reset-input-tokens": "15s",
    }


def test_anthropics_clients_read_when_it_is_back_as_a_time() -> None:
    assert said(("output_tokens", 100, 40, 60), dialect="messages") == {
        "anthropic-ratelimit-output-tokens-limit": "100",
        "anthropic-ratelimit-output-tokens-remaining": "40",
        "anthropic-ratelimit-output-tokens-reset": "2025-06-15T15:07:16Z",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"), (0.0004, "0ms"), (0.0251, "25ms"), (0.9999, "1000ms"), (1, "1s"), (59.4, "59s"),
        (60, "1m0s"), (3_599, "59m59s"), (3_600, "1h0m0s"), (90_061, "25h1m1s"),
    ],
)  # fmt: skip
def test_when_it_is_back_is_said_as_a_duration(seconds: float, text: str) -> None:
    assert said(("requests", 60, 0, seconds))["x-ratelimit-reset-requests"] == text


def test_of_several_limits_of_a_kind_the_one_with_the_least_left_is_told() -> None:
    told = said(("requests", 60, 50, 60), ("tokens", 9, 3, 1), ("requests", 1_000, 7, 3_600), ("requests", 8, 7, 8))
    assert told["x-ratelimit-limit-requests"] == "1000"
    assert told["x-ratelimit-remaining-tokens"] == "3"


def test_more_than_all_may_be_used_up_under_a_soft_limit() -> None:
    told = said(("requests", 60, -60, 60))
    assert (told["x-ratelimit-remaining-requests"], told["x-ratelimit-reset-requests"]) == ("0", "2m0s")
    told = said(("requests", 60, -60, 60), dialect="messages")
    assert told["anthropic-ratelimit-requests-remaining"] == "0"
    assert told["anthropic-ratelimit-requests-reset"] == "2025-06-15T15:08:40Z"


def test_who_has_no_limit_is_told_of_none() -> None:
    assert said() == said(dialect="messages") == {}


def test_what_is_said_of_a_limit_is_remembered_for_a_thousand_of_them_at_most() -> None:
    for amount in range(1, 3_000):
        assert said(("requests", amount, 0, 0.0))["x-ratelimit-limit-requests"] == str(amount)
