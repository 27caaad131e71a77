"""What most chunks of a stream are: more of the text, of the thought or of the call's arguments that is open.

Decoding into these shapes takes a third of the time of decoding everything. A chunk that says anything else does not
fit, and is read with care: members that would change what it means must be null here, and unknown ones of a delta are
refused. What is unknown beside the delta is skipped.
"""

import msgspec


class _Function(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    arguments: str


class _Call(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    index: int
    function: _Function
    type: str = ""
    id: None = None


class _Delta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    content: str | None = None
    role: str | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: str | None = None
    refusal: None = None
    function_call: None = None
    audio: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta
    index: int
    finish_reason: None = None
    logprobs: None = None


class Plain(msgspec.Struct, gc=False):
    """A chunk."""

    choices: list[_Choice]
    usage: None = None
    x_groq: None = None
    error: None = None
