"""What mypyc would make something else of than the interpreter does, in the modules that it compiles."""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hatch_build
import pytest
from mypy import build
from mypy.config_parser import parse_config_file
from mypy.find_sources import create_source_list
from mypy.nodes import ComparisonExpr, Expression, IndexExpr, SliceExpr
from mypy.options import Options
from mypy.types import Instance, LiteralType, NoneType, TupleType, Type, UnionType, get_proper_type

SOURCE = hatch_build.SOURCE
LISTED = hatch_build.listed()
TREES = {str(path.relative_to(SOURCE)): ast.parse(path.read_text()) for path in SOURCE.rglob("*.py")}
NUMBERS = {"builtins.int", "builtins.float"}
BUFFERS = {"builtins.memoryview", "builtins.bytearray", "mmap.mmap"}


def test_a_pattern_that_names_no_module_is_an_error():
    with pytest.raises(LookupError, match=r"no module is wire/nothing\.py"):
        hatch_build.matching(["wire/{pool,nothing}.py"])


def test_what_a_call_comes_by_is_compiled_and_what_describes_data_or_awaits_is_not():
    assert {"portico/call.py", "portico/state/ledger.py", "portico/providers/prices.py"} <= set(LISTED)
    assert not {"portico/record.py", "portico/gateway.py", "portico/__init__.py"} & set(LISTED)


@pytest.fixture(scope="module")
def types() -> dict[Expression, Type]:
    """What mypy found of each expression of the source, and of what it imports."""
    options = Options()
    parse_config_file(options, lambda: None, str(hatch_build.ROOT / "pyproject.toml"), sys.stdout, sys.stderr)
    options.export_types = options.preserve_asts = True
    options.incremental = False
    options.cache_dir = "/dev/null"
    options.mypy_path = [str(SOURCE)]
    return build.build(create_source_list([str(SOURCE / "portico")], options), options).types


def _places(kind: type[ast.AST], matters: Callable[[Any], bool]) -> dict[tuple[int, int], str]:
    """Return where such expressions stand in what is compiled; mypy tells the line and the column of one, no file."""
    return {
        (node.lineno, node.col_offset): f"{name}, line {node.lineno}: {ast.unparse(node)}"
        for name in LISTED
        for node in ast.walk(TREES[name])
        if isinstance(node, kind) and matters(node)
    }


def test_nothing_that_is_taken_apart_is_compared_by_identity(types):
    """Numbers and tuples of a known length are no objects in C: made again, they are others."""
    places = _places(ast.Compare, _identity)
    assert len(places) > 30
    wrong = {
        places[at.line, at.column]
        for at in types
        if isinstance(at, ComparisonExpr) and (at.line, at.column) in places
        for operator, left, right in zip(at.operators, at.operands, at.operands[1:], strict=False)
        if operator.startswith("is") and left in types and right in types and _apart(types[left], types[right])
    }
    assert wrong == set()


def _identity(node: ast.Compare) -> bool:
    singletons = any(isinstance(each, ast.Constant) for each in node.comparators)
    return not singletons and any(isinstance(each, ast.Is | ast.IsNot) for each in node.ops)


def _apart(left: Type, right: Type) -> bool:
    if any(isinstance(get_proper_type(each), NoneType) for each in (left, right)):
        return False
    return any(
        (isinstance(each, TupleType) and each.partial_fallback.type.fullname == "builtins.tuple") or _is(each, NUMBERS)
        for side in (left, right)
        for each in _alternatives(side)
    )


def _alternatives(kind: Type) -> Iterator[Type]:
    kind = get_proper_type(kind)
    if isinstance(kind, UnionType):
        for each in kind.items:
            yield from _alternatives(each)
    else:
        yield get_proper_type(kind.fallback) if isinstance(kind, LiteralType) else kind


def _is(kind: Type, names: set[str]) -> bool:
    return isinstance(kind, Instance) and kind.type.fullname in names


def test_no_call_stands_in_the_bounds_of_a_slice_of_a_buffer(types):
    """They are evaluated twice."""
    places = _places(ast.Subscript, _calls)
    assert places
    wrong = {
        places[at.line, at.column]
        for at in types
        if isinstance(at, IndexExpr) and isinstance(at.index, SliceExpr) and (at.line, at.column) in places
        if any(_is(each, BUFFERS) for each in _alternatives(types[at.base]))
    }
    assert wrong == set()


def _calls(node: ast.Subscript) -> bool:
    bounds = [node.slice.lower, node.slice.upper] if isinstance(node.slice, ast.Slice) else []
    calls = [each for bound in bounds if bound is not None for each in ast.walk(bound) if isinstance(each, ast.Call)]
    return any(ast.unparse(call.func) != "len" for call in calls)


def test_no_class_of_the_interpreter_is_made_of_a_compiled_one_unless_that_allows_it():
    compiled = {
        (_module(SOURCE / name), node.name): node
        for name in LISTED
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ClassDef)
    }
    wrong = []
    for name, tree in TREES.items():
        imported = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(tree) if name not in LISTED else ():
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                package, _, there = ast.unparse(base).rpartition(".")
                module, there = imported.get(there, ("", "")) if not package else (_of(imported, package), there)
                wrong += [
                    f"{name}: {node.name} is made of {there}"
                    for (where, each), parent in compiled.items()
                    if each == there and f"{where}.".startswith(f"{module}.")  # a package names what its modules have
                    if not any("mypyc_attr" in ast.unparse(each) for each in parent.decorator_list)
                ]
    assert wrong == []


def _of(imported: dict[str, tuple[str | None, str]], package: str) -> str:
    return ".".join(filter(None, imported.get(package, ("", ""))))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)
