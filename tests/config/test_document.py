"""Documents that are too deep, too many, too large or not documents at all."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portico.config import document
from portico.config.document import MAX_BYTES, Scalar, Series, Table, leaves, parse, plain_node
from portico.config.problems import Place, Report


def problem(data: bytes) -> str:
    report = Report()
    assert parse(data, "f", report) is None
    assert len(report.errors) == 1
    return str(report.errors[0])


def tree(text: str) -> document.Node:
    report = Report()
    parsed = parse(text.encode(), "f", report)
    assert parsed is not None, report.errors
    return parsed.root


def test_every_node_knows_its_place() -> None:
    root = tree("a:\n  b: [x, 'y']\n")
    assert isinstance(root, Table)
    inner = root.rows["a"]
    assert isinstance(inner, Table)
    assert inner.keys["b"] == Place("f", 2, 3)
    series = inner.rows["b"]
    assert isinstance(series, Series)
    assert series.items == [Scalar("x", Place("f", 2, 7), plain=True), Scalar("y", Place("f", 2, 10))]


def test_the_loader_in_c_and_the_one_in_python_build_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "x: &a {k: [1, '2', \"3\"], e: ~}\ny: *a\nz: |\n  lines\n  of text\nw: >-\n  folded\n  text\n"
    fast = tree(text)
    monkeypatch.setattr(document, "_LOADER", document.yaml.SafeLoader)
    assert tree(text) == fast


@pytest.mark.parametrize("open_close", ["[]", "{}"])
def test_deep_nesting_is_refused(open_close: str) -> None:
    many = (open_close[0] + ("a: " if open_close == "{}" else "")) * 100_000
    assert "more than 64 tables or lists inside each other" in problem(many.encode())


def test_deep_block_nesting_is_refused() -> None:
    assert "inside each other" in problem(("- " * 5000 + "x").encode())


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert "more than 250000 values" in problem("\n".join(lines).encode())


def test_a_bomb_of_merges_is_refused() -> None:
    keys = ", ".join(f"k{n}: v" for n in range(1000))
    text = f"a: &a {{{keys}}}\nb:\n" + "\n".join("  - {<<: *a}" for _ in range(500))
    assert "more than 250000 values" in problem(text.encode())


def test_too_many_values_are_refused() -> None:
    assert "more than 250000 values" in problem(b"a: [" + b"x, " * 300_000 + b"x]")


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    assert "bytes; a configuration has at most" in problem(b"#" * (MAX_BYTES + 1))


def test_a_long_file_within_the_bounds_is_read() -> None:
    text = "".join(f"- {{k: v{n}}}\n" for n in range(20_000))
    assert isinstance(tree(text), Series)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: \xff\xfe", "f:1:4: the file is not UTF-8: byte 0xff"),
        (b"a: 1\nb: \x80", "f:2:4: the file is not UTF-8"),
        ("a: 1".encode("utf-16"), "the file is not UTF-8"),
        (b"\x00\x01\x02", "U+0000"),
        (b"a: b\n\x7f", "U+007F"),
        (b"\x7fELF\x02\x01\x01", "may not stand here"),
        (b"%PDF-1.4\n%", "this is not YAML"),
        (b"\tx: 1", "a tab cannot indent YAML"),
        (b'a: "\\ud800"', "this is not YAML"),
        (b"a: " + b"k" * 10 + b": x", "a `key: value` cannot stand here"),
        (b"? " + b"k" * 2000 + b"\n: x", "a key has between 1 and 1024 characters"),
        (b"'': x", "a key has between 1 and 1024 characters"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(data: bytes, words: str) -> None:
    assert words in problem(data)


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    root = tree("\ufeffa: 1")
    assert isinstance(root, Table)
    assert list(root.rows) == ["a"]


def test_a_key_that_stands_twice_is_given_back_with_both_places() -> None:
    report = Report()
    parsed = parse(b"s:\n- {a: 1, b: 2, a: 3}\n", "f", report)
    assert parsed is not None
    (twice,) = parsed.duplicates
    assert (twice.path, twice.key, twice.first, twice.second) == (("s", 0), "a", Place("f", 2, 4), Place("f", 2, 16))
    assert [leaf.text for _, leaf in leaves(parsed.root) if isinstance(leaf, Scalar)] == ["3", "2"]


def test_plain_data_becomes_nodes() -> None:
    root = plain_node({"a": [1, 1.5, True, None, "x"]}, "f")
    assert [node for _, node in leaves(root)] == [
        Scalar("1", Place("f"), plain=True),
        Scalar("1.5", Place("f"), plain=True),
        Scalar("true", Place("f"), plain=True),
        Scalar("null", Place("f"), plain=True),
        Scalar("x", Place("f")),
    ]
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ValueError, match="inside each other"):
        plain_node(deep, "f")


YAMLISH = st.text(alphabet="ab:-[]{},&*!|>'\"%@#?\n\t .0~<${}\\", max_size=80)


@given(YAMLISH)
@example("&a *a")
@example("- &a\n- *a")
@example("? ")
@example("!!")
@example("*")
@example("a: |\n \t\n")
def test_no_text_breaks_the_parser(text: str) -> None:
    report = Report()
    parsed = parse(text.encode(), "f", report)
    assert (parsed is None) == bool(report.errors)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    report = Report()
    parsed = parse(data, "f", report)
    assert (parsed is None) == bool(report.errors)
