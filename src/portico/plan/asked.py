"""What is asked of a plan that is not sent, and what it answers."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from portico.config.schema import Retention


class Question(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A call as it would be made."""

    body: Annotated[dict[str, Any], Meta(description="The request's body, as JSON.")] = {}
    path: Annotated[str, Meta(min_length=1, max_length=2048, description="Where it would be sent.")] = (
        "/v1/chat/completions"
    )
    headers: Annotated[dict[str, str], Meta(description="Its headers.")] = {}
    holder: (
        Annotated[str, Meta(min_length=1, max_length=256, description="The id of the key it is made with.")] | None
    ) = None
    draw: Annotated[float, Meta(ge=0, lt=1, description="What chance says, where it has a say.")] = 0.5


class Measures(msgspec.Struct, kw_only=True, frozen=True):
    """How a target does for calls of this size, by what the workers say together. Absent times were never measured."""

    in_flight: int
    failure_rate: float
    resting: bool
    first_token_ms: float | None = None
    token_ms: float | None = None
    whole_ms: float | None = None


class Weighed(msgspec.Struct, kw_only=True, frozen=True):
    """One target: its place in the plan, or why it has none, and what the call would cost there."""

    target: str
    place: int | None = None
    why_not: str | None = None
    cost_nano_usd: int | None = None
    cached_tokens: Annotated[int | None, Meta(description="Of the prompt, expected in its cache.")] = None
    measures: Annotated[Measures | None, Meta(description="Absent where no worker has sent it a call.")] = None
    region: str | None = None
    residency: str | None = None
    retention: Retention | None = None
    context_window: int | None = None
    capabilities: list[str] | None = None


class Canarying(msgspec.Struct, kw_only=True, frozen=True):
    """How far a canary is, and by what it is judged: calls of this step, and those of the other targets.

    `state` is `rising`, `done` (held at its last share) or `back` (taken back); `since` is in seconds.
    """

    to: str
    state: Literal["rising", "done", "back"]
    share: float
    since: float
    calls: int
    failed: int
    p95_ms: float | None = None
    others_calls: int
    others_failed: int
    others_p95_ms: float | None = None
    why: str


class Explanation(msgspec.Struct, kw_only=True, frozen=True):
    """Where a call would go and why. `refused` says why it goes nowhere."""

    model: str
    operation: str
    strategy: str | None = None
    arm: str | None = None
    rules: list[str] = []
    workers: Annotated[int, Meta(description="Running workers that told what they measure.")] = 0
    measured: Annotated[bool, Meta(description="The order depends on what workers measure, unknown here.")] = False
    conversation: Annotated[str | None, Meta(description="What it is a turn of, where that counts.")] = None
    likelihood: (
        Annotated[float, Meta(description="How likely a small target is to do, by the scorer that was asked.")] | None
    ) = None
    kept: (
        Annotated[
            Literal["warm", "home"],
            Meta(description="The first target has its prompt cached, or is where its conversation belongs."),
        ]
        | None
    ) = None
    input_tokens: int
    output_tokens: int
    has_tools: bool
    has_images: bool
    targets: list[Weighed]
    canaries: list[Canarying] = []
    refused: str | None = None
    retries: int | None = None
    timeout: float | None = None
