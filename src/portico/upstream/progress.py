"""How far a canary is, for who looks at it."""

from typing import Literal

import msgspec

from portico.plan.rollout import Arm


class Progress(msgspec.Struct, frozen=True):
    """How far a canary is: `rising`, held at its last step (`done`), or taken `back`. `since` is in seconds ago."""

    state: Literal["rising", "done", "back"]
    step: int
    share: float
    since: float
    canary: Arm
    others: Arm
    why: str
