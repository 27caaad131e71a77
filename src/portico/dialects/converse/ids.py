"""Ids of tool calls as Bedrock takes them: up to 64 letters, digits, `_` and `-` (API_runtime_ToolUseBlock.html)."""

import re
from zlib import crc32

_LEGAL = re.compile(r"[a-zA-Z0-9_-]{1,64}").fullmatch
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")


def legal(call_id: str) -> str:
    """Return the id itself where Bedrock takes it, else one that follows from it alone."""
    if _LEGAL(call_id):
        return call_id
    return f"call_{_ILLEGAL.sub('_', call_id)[:40]}_{crc32(call_id.encode('utf-8', 'surrogatepass')):08x}"
