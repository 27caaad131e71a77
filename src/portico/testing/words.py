"""The mock's words, and the one rule by which it counts them.

**The rule.** A token is four characters (code points) of text, and a begun one counts: `tokens(text) = ceil(len / 4)`.

- Input: for every message or instruction `MESSAGE` tokens and those of its text; tool calls and results count as
  text; every image, audio or file part costs `MEDIA` tokens; tool definitions count by the characters of their JSON
  as it was sent.
- Output: the text, and for every tool call its name and its arguments. Reasoning: its text, shown or not.

The mock's words are made so that a whole number of them fills whole tokens: a streamed token is a full one.
"""

import random
from itertools import accumulate

TOKEN = 4
MESSAGE = 4
MEDIA = 256

_SHORT = "sun map ink oak sea sky key bay elm fox hut ice jar log net owl pen ray the and"
_LONG = (
    "portico columns lantern harvest silence granite morning evening gardens passage doorway shelter "
    "weather marbles bridges stories travels windows carries between through against another gathers"
)


def tokens(text: str) -> int:
    """Return how many tokens a text is."""
    return (len(text) + 3) // TOKEN


def _weave() -> tuple[str, list[int]]:
    """Return a long text of three- and seven-letter words, and the offsets where its words begin."""
    source = random.Random(4000)  # noqa: S311  # words, not secrets
    vocabulary = _SHORT.split() * 2 + _LONG.split()
    words = [source.choice(vocabulary) + " " for _ in range(6000)]
    starts = list(accumulate((len(word) for word in words), initial=0))[:-1]
    return "".join(words), starts


_TEXT, _STARTS = _weave()


def passage(seed: int, count: int) -> str:
    """Return exactly `count` tokens of text, the same for the same seed, with a capital and a full stop."""
    if count <= 0:
        return ""
    length = count * TOKEN
    start = _STARTS[seed % len(_STARTS)]
    text = _TEXT[start : start + length]
    if len(text) < length:
        more = _TEXT * ((length - len(text)) // len(_TEXT) + 1)
        text = (text + more)[:length]
    return text[0].upper() + text[1:-1] + "."


def slices(text: str, count: int = 1) -> list[str]:
    """Return the text cut into pieces of `count` tokens."""
    step = TOKEN * count
    return [text[at : at + step] for at in range(0, len(text), step)]
