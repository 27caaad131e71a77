"""What is read of usage and bounds in one step is what their fields say."""

from hypothesis import given
from hypothesis import strategies as st

from portico.counts import counts_of, figures, totals
from portico.rules import Bound
from portico.types import Usage

TOKENS = Usage.__struct_fields__[:10]


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(TOKENS, st.integers(0, 1 << 50))))
def test_usage_read_in_one_step_has_the_totals_of_its_fields(tokens: dict[str, int]) -> None:
    usage = Usage(**tokens)  # type: ignore[arg-type]  # all of these are integers
    assert totals(usage) == (usage.input_total, usage.output_total)
    assert counts_of(usage)[:10] == tuple(tokens.get(name, 0) for name in TOKENS)


def test_the_fields_that_a_price_goes_by_stand_where_it_looks_for_them() -> None:
    usage = Usage(reported_cost=7, tier="flex", geo="us")
    assert counts_of(usage)[18:] == (7, "flex", "us")
    assert figures(Bound(1, 2, None, "audio")) == (1, 2, None, "audio")
