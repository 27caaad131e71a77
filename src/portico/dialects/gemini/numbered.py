"""Words of Google's enumerations that a client writes as their numbers.

Google's older client libraries ask with `$alt=json;enum-encoding=int`, write numbers themselves, and read either
(googleapis: google/ai/generativelanguage and google/cloud/aiplatform, `content.proto`, read 2026-11-21).
"""

from collections.abc import Mapping
from typing import Any

TYPES = {1: "STRING", 2: "NUMBER", 3: "INTEGER", 4: "BOOLEAN", 5: "ARRAY", 6: "OBJECT", 7: "NULL"}
"""Of a schema."""
MODES = {1: "AUTO", 2: "ANY", 3: "NONE", 4: "VALIDATED"}
"""Of calling functions."""
MODALITIES = {1: "TEXT", 2: "IMAGE", 3: "AUDIO"}
"""Of an answer."""


def word(value: Any, words: Mapping[int, str]) -> Any:
    """Return the word that a number stands for; anything else as it is."""
    return words.get(value, value) if type(value) is int else value
