"""The seam of two texts: what is repeated is taken out, what is not stays."""

import pytest
from tests.framing.recordings import SIZES

from portico.dialects.resume.joint import Joint, circles, last_words

SAID = "Paris is the capital of France. It lies on the"
CASES = {
    "goes on exactly": (SAID, " Seine.", SAID + " Seine."),
    "repeats the last words": (SAID, "It lies on the Seine.", SAID + " Seine."),
    "repeats them behind white space": (SAID, "\n\nIt lies on the Seine.", SAID + " Seine."),
    "repeats a whole sentence": (SAID, "Paris is the capital of France. It lies on the Seine.", SAID + " Seine."),
    "begins anew behind white space": (SAID, "\n" + SAID + " Seine.", SAID + " Seine."),
    "repeats a single word, which may be meant": ("She said that", "that one", "She said thatthat one"),
    "goes on in the middle of a word": ("The answer is forty-t", "wo.", "The answer is forty-two."),
    "begins as something before did": (SAID, " capital of trade.", SAID + " capital of trade."),
    "repeats words of a script without spaces": (
        "巴黎是法国的首都、位于塞纳河畔",
        "位于塞纳河畔的城市",
        "巴黎是法国的首都、位于塞纳河畔的城市",
    ),
    "has nothing more to say": (SAID, "", SAID),
    "says only what was said": (SAID, SAID, SAID),
    "says only the beginning again": (SAID, "Paris is the capital", SAID),
    "goes on in white space": ("A list:\n", "\n- one", "A list:\n\n- one"),
    "repeats words and other white space": (SAID + " ", "It lies on the\nSeine.", SAID + " \nSeine."),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_text_is_joined_without_repeats_and_without_loss(case: str, asked: bool, size: int | None) -> None:
    said, more, whole = CASES[case]
    joint = Joint(said, asked=asked)
    pieces = [more] if size is None else [more[at : at + size] for at in range(0, len(more), size)]
    joined = said + "".join(map(joint.feed, pieces)) + joint.end()
    assert joined == whole
    assert joint.taken == len(said) + len(more) - len(whole)


def test_white_space_that_was_not_shown_is_not_told_twice() -> None:
    joint = Joint("A list:\n", asked=False, cut=True)
    assert joint.feed("\n\n- one") == "\n- one"


def test_another_answer_is_not_joined() -> None:
    said = "The three largest cities of the whole country are Paris, Marseille and"
    joint = Joint(said, asked=True)
    assert joint.feed("The three largest cities of the whole country are Marseille.") + joint.end() == ""
    assert joint.astray


@pytest.mark.parametrize("asked", [True, False])
def test_text_flows_as_soon_as_it_cannot_be_a_repetition(asked: bool) -> None:
    joint = Joint(SAID, asked=asked)
    assert joint.feed(" Sei") == " Sei"
    assert joint.feed("ne.") == "ne."


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("a)\na)\na)\na)\na)\n", True),
        ("one two three", False),
        ("-" * 40, True),
        ("la la la la la", True),
        ("ha ha", False),
    ],
)
def test_a_text_that_circles_is_known(text: str, known: bool) -> None:
    assert circles(text) is known


def test_the_last_words_are_whole_ones() -> None:
    words = last_words("word " * 40 + "end")
    assert words.startswith("word ")
    assert words.endswith(" end")
