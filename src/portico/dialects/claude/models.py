"""What Anthropic's models can do, by the version in their names.

docs.anthropic.com/en/about-claude/models and …/build-with-claude/{extended-thinking, adaptive-thinking, effort,
structured-outputs} (read 2026-11-20). A name that is not Claude's is another maker's behind the same API.
"""

import re
from functools import lru_cache
from typing import Literal

import msgspec

_VERSION = re.compile(r"claude-(?:[a-z]+-){0,3}(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")


class Abilities(msgspec.Struct, frozen=True):
    """What a model takes. `thinking` says how it is asked to think: by a budget, by an effort, by both, or not.

    `sampling` is `one` where temperature and top_p exclude each other, `none` where it takes neither. `prefill` says
    that the last message may be the assistant's, for the answer to go on from.
    """

    thinking: Literal["none", "budget", "both", "effort"] = "budget"
    sampling: Literal["all", "one", "none"] = "all"
    schema: bool = False
    max_tokens: int = 8192
    claude: bool = True
    prefill: bool = False


_OTHER = Abilities(claude=False)


@lru_cache(maxsize=512)
def abilities(model: str) -> Abilities:
    """Return what the model of this name takes."""
    found = _VERSION.search(model.lower())
    if found is None:
        return Abilities(thinking="none", max_tokens=4096) if "claude" in model.lower() else _OTHER
    version = (int(found[1]), int(found[2] or 0))
    if version < (3, 7):
        return Abilities(thinking="none", max_tokens=4096 if version < (3, 5) else 8192, prefill=True)
    if version < (4, 1):
        return Abilities(max_tokens=32_000, prefill=True)
    if version < (4, 6):
        return Abilities(sampling="one", schema=True, max_tokens=32_000, prefill=True)
    if version == (4, 6):
        return Abilities(thinking="both", sampling="one", schema=True, max_tokens=32_000)
    return Abilities(thinking="effort", sampling="none", schema=True, max_tokens=32_000)
