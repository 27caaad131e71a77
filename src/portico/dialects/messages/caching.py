"""A request that is to be cached as a whole, as other dialects say it (docs.anthropic.com/en/docs/build-with-claude/
prompt-caching#automatic-caching, read 2026-11-20): by a mark on its last part.
"""

import msgspec

from portico.dialects.messages.blocks import take_cache
from portico.ir import Opaque, Refusal, Request, Thinking


def marked(request: Request) -> Request:
    """Return a request of this dialect with `cache_control` of its own as a mark on the last part that takes one."""
    if "cache_control" not in request.extra or not request.messages:
        return request
    extra = dict(request.extra)
    mark = take_cache(extra)
    last = request.messages[-1]
    if mark is None or not last.parts:
        return request
    extra.pop("cache_control", None)
    part = last.parts[-1]
    if not isinstance(part, Thinking | Refusal | Opaque) and part.cache is None:
        part = msgspec.structs.replace(part, cache=mark)
    told = msgspec.structs.replace(last, parts=(*last.parts[:-1], part))
    return msgspec.structs.replace(request, messages=(*request.messages[:-1], told), extra=extra)
