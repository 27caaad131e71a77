"""Ids of end users as providers take them: one that a provider would refuse goes as a hash of it, always the same.

OpenAI takes 64 characters at most (platform.openai.com/docs/api-reference/chat/create), and Claude Code's ids are more
than twice as long. Anthropic takes 256, and refuses what looks like a mail address or a telephone number
(docs.anthropic.com/en/api/messages); those who follow it, all but letters, digits, `_` and `-` (read 2026-11-20).
"""

import re

from portico.hashing import blake2b

OPENAI_LIMIT = 64
_OPAQUE = re.compile(r"(?=.*[a-zA-Z_])[a-zA-Z0-9_-]{1,256}")


def at_openai(user: str) -> str:
    """Return the id under which OpenAI, and those who follow it, are told of an end user."""
    return user if len(user) <= OPENAI_LIMIT else _hashed(user)


def at_anthropic(user: str) -> str:
    """Return the id under which Anthropic, and those who follow it, are told of an end user."""
    return user if _OPAQUE.fullmatch(user) else _hashed(user)


def _hashed(user: str) -> str:
    return "user_" + blake2b(user.encode("utf-8", "replace"), digest_size=16).hexdigest()
