"""The seam of two texts: what was said before a stream died, and what another provider goes on with.

A model that is asked to go on may begin exactly there, may say the last words again, or may begin all over. What it
repeats is taken out, by exact comparison: the beginning of the continuation with the end of what was said. Text is
held back only while it may still be a repetition. No more than WINDOW characters back are looked at, and the very
start of the answer.

An agreement of few characters may be chance ("ha" after "ha"), and taking it out would lose text: so it must be some
words, or all that was said. A continuation that begins all over in other words cannot be joined: it is `astray`.
"""

WINDOW = 2048
"""Characters before the seam in which a repetition may begin."""
MOST_SPACE = 64
"""Characters of white space at the start of a continuation that are waited through."""
FEWEST = 8
"""Characters of words that are no chance."""
FEWEST_UNASKED = 12
"""The same where the provider goes on from the text itself, and has no reason to repeat any of it."""
TAIL = 80
"""Characters of the last words that a continuation is to begin with, at most."""
CIRCLE = 12
"""Characters of the same few over and over, at least, that make a circle."""
ALIKE = 48
"""Characters that a continuation has in common with the start of the answer, and with nothing at its end, when it is
another answer."""


class Joint:
    """Takes the repetition out of a continuation, piece by piece.

    `asked` says that the provider was told to begin with the last words, and not given the answer to go on from;
    `cut` that it was not given the white space at the end of it.
    """

    __slots__ = ("_asked", "_candidates", "_cut", "_held", "_said", "_space", "astray", "settled", "taken")

    def __init__(self, said: str, *, asked: bool, cut: bool = False) -> None:
        self._said = said.rstrip()
        self._space = said[len(self._said) :]
        self._asked = asked
        self._cut = cut
        self._held = ""
        self._candidates: list[int] | None = None
        self.settled = not said
        self.astray = False
        self.taken = 0

    def __repr__(self) -> str:
        return f"<Joint after {len(self._said)} characters{'' if self.settled else ', open'}>"

    def feed(self, text: str) -> str:
        """Take more of the continuation and return what is new; nothing while that is not known, or it is astray."""
        if self.settled:
            return "" if self.astray else text
        self._held += text
        return self._settle(last=False)

    def end(self) -> str:
        """Say that the continuation has ended, and return what of it was held back and is new."""
        if self.settled:
            return ""
        return self._settle(last=True)

    def _settle(self, *, last: bool) -> str:
        said, held = self._said, self._held
        core = held.lstrip()
        if not core and not last and len(held) < MOST_SPACE:
            return ""
        if core:
            complete, open_ = self._compare(core)
            best = min((at for at in complete if self._counts(at)), default=None)
            # A longer repetition than the best one may still come to be.
            if not last and any(best is None or at < best for at in open_):
                return ""
            self.settled = True
            if best is not None:
                return self._new(core[len(said) - best :])
            start = self._start()
            if start in open_ and len(core) >= FEWEST:
                # It began all over, and has nothing more to say.
                self.taken = len(held)
                return ""
            if start not in complete and _common(said, start, core) >= ALIKE:
                self.astray = True
                return ""
        self.settled = True
        return self._new(held) if self._cut else held

    def _new(self, rest: str) -> str:
        """Return what is new of what follows the last word: white space that was told already is not."""
        rest = rest[_common(self._space, 0, rest) :]
        self.taken = len(self._held) - len(rest)
        return rest

    def _start(self) -> int:
        return len(self._said) - len(self._said.lstrip())

    def _compare(self, core: str) -> tuple[list[int], list[int]]:
        """Return where in what was said a repetition begins: those that reach its end, those that may yet."""
        said = self._said
        if not said:
            return [], []
        candidates = self._candidates
        if candidates is None:
            first = max(0, len(said) - WINDOW)
            candidates = sorted({self._start(), *(at for at in range(first, len(said)) if not _inside(said, at))})
        complete, open_ = [], []
        for at in candidates:
            if len(said) - at > len(core):
                if said.startswith(core, at):
                    open_.append(at)
            elif core.startswith(said[at:]):
                complete.append(at)
        self._candidates = [*complete, *open_]
        return complete, open_

    def _counts(self, at: int) -> bool:
        """Return whether an agreement from here to the end of what was said is more than chance."""
        said = self._said
        again = said[at:].strip()
        letters = sum(map(str.isalpha, again))
        if at <= self._start():
            return self._asked or letters >= 2 or sum(map(str.isalnum, again)) >= 3 or len(again) >= FEWEST
        if not self._asked and said.endswith(said[at:], 0, at):
            return False  # what repeats itself may well go on so
        wide = sum(1 for char in again if ord(char) > 0x2E7F and char.isalpha())
        if self._asked:
            return again == last_words(said) or (len(again) + wide >= FEWEST and (wide > 1 or len(again.split()) > 1))
        if len(again) + wide < FEWEST_UNASKED:
            return False
        return wide > 1 or (sum(map(str.isalnum, again)) >= FEWEST // 2 and len(again.split()) > 1)


def circles(said: str) -> bool:
    """Return whether a text ends in the same thing over and over: nobody could say where in it another one begins."""
    said = said.rstrip()[-3 * TAIL :]
    for period in range(1, TAIL + 1):
        size = max(3 * period, CIRCLE)
        end = said[-size:]
        if len(end) == size and end[period:] == end[:-period]:
            return True
    return False


def last_words(said: str) -> str:
    """Return the last words of a text, whole ones where there are any."""
    tail = said[-TAIL:]
    if len(tail) < len(said):
        _, space, rest = tail.partition(" ")
        tail = rest if space and rest.strip() else tail
    return tail.strip()


def _inside(said: str, at: int) -> bool:
    """Return whether a place is inside a word; what is written without spaces has no words."""
    return at > 0 and said[at].isalnum() and said[at - 1].isalnum() and ord(said[at]) <= 0x2E7F


def _common(said: str, at: int, text: str) -> int:
    """Return how many characters a text has in common with what was said from a place on."""
    most = min(len(said) - at, len(text))
    for count in range(most):
        if said[at + count] != text[count]:
            return count
    return most
