"""What OpenRouter said that recorded calls cost is what its prices make of their usage, to the cent."""

import msgspec
from tests.providers.test_bounds_recorded import served

from portico.providers.prices import charge, price_of

CENT = 10_000_000
MORE = ("plugins", "web_search_options", "tools", "models")
"""Members of a request that may be billed besides tokens: searches, the advice of another model."""


def test_a_reported_cost_is_reproduced_to_the_cent_where_its_prices_are_known() -> None:
    checked = exact = 0
    off = []
    for call in served():
        reported, price = call.usage.reported_cost, price_of("openrouter", call.model)
        asked = call.seen.members or {}
        besides = any(b"openrouter:" in bytes(asked[name]) or name != "tools" for name in MORE if name in asked)
        if call.provider != "openrouter" or reported is None or price is None or besides or call.usage.searches:
            continue
        ours = charge(price, msgspec.structs.replace(call.usage, reported_cost=None)).cost
        if ours is None:
            continue
        checked += 1
        exact += abs(ours - reported) <= max(reported // 1_000, 1_000)
        if abs(ours - reported) >= CENT:
            off.append((call.id, call.model, ours, reported))
    assert not off
    assert checked > 200
    assert exact > 0.75 * checked  # others were recorded at a price that has changed, or at a host with another
