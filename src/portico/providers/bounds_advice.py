"""What can be done about a call that a budget refuses because it has no bound, in words for whoever made it.

Read by those who are refused so, and by nobody else.
"""

from collections.abc import Sequence

from portico.dialects.limits import FIELDS

ALLOWANCE = "an allowance set for the key (`allowance_usd`)"


def advice(why: str | None, counts: str, operation: str, unpriced: Sequence[str]) -> tuple[str, str | None]:
    """Return what is missing and what to do, and the field of the request at fault, if one is.

    `why` is that of the `Bound`, `counts` that of the rule; `unpriced` are the targets, as `provider/model`, that
    nobody knows the price of.
    """
    if counts == "cost" and (unpriced or why == "unpriced"):
        name = unpriced[0] if unpriced else "provider/model"
        whose = repr(unpriced[0]) if unpriced else "one of its models"
        nothing = f'`prices: {{"{name}": {{input: 0, output: 0}}}}`'
        said = f"Have its price set in the configuration (if it costs nothing: {nothing}), or {ALLOWANCE}"
        return f"nobody has said what {whose} costs. {said}", "model"
    if why is None or why == "too_much":
        return "this call may use more than any budget holds: set a lower limit for its output", None
    if why == "no_output_limit":
        field = FIELDS.get(operation, ("max_tokens",))[0]
        nobody = "this call names no limit for its output, and how much its model writes at most is not known"
        return f"{nobody}: set `{field}`, or have `default_max_tokens` or {ALLOWANCE}", field
    return f"nobody can say what `{why}` might use at most: leave it out, or have {ALLOWANCE}", None
