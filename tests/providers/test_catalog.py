"""Every row of the catalog keeps the rules of the file."""

import re
import string
from importlib import resources
from urllib.parse import urlsplit

import msgspec
import pytest

from portico.dialects.operations import OPERATIONS
from portico.providers import row as rows
from portico.providers.catalog import CATALOG, PATHS, Row
from portico.providers.credentials import OPTIONS

ROWS = pytest.mark.parametrize(("name", "row"), CATALOG.items(), ids=list(CATALOG))


def holes(template: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(template) if field}


def templates(row: Row) -> list[str]:
    written = [row.base_url, *row.paths.values(), *row.streams.values()]
    for option in row.options.values():
        written += [*option.choices.values(), option.default or ""]
    return written


def test_at_least_65_providers_are_known() -> None:
    assert len(CATALOG) >= 65


@ROWS
def test_a_name_is_short_and_can_stand_in_a_path(name: str, row: Row) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,30}", name)
    assert row.name == row.name.strip()
    assert 0 < len(row.name) < 60


def test_no_name_for_people_is_used_twice() -> None:
    names = [row.name for row in CATALOG.values()]
    assert len(names) == len(set(names))


def test_no_two_rows_are_the_same_place_with_the_same_dialect() -> None:
    seen: dict[tuple[str, ...], str] = {}
    for name, row in CATALOG.items():
        if row.local or row.base_url.startswith("{"):
            continue
        key = (row.base_url, row.prefix, *(row.path(operation) for operation in sorted(row.every_operation)))
        assert key not in seen, f"{name} repeats {seen[key]}"
        seen[key] = name


@ROWS
def test_a_base_url_is_https_unless_it_is_on_this_machine(name: str, row: Row) -> None:
    url = row.base_url
    if url.startswith("{"):
        option = row.options[next(iter(holes(url)))]
        assert option.default is None or option.default.startswith("https://")
        return
    parts = urlsplit(url)
    assert parts.scheme == ("http" if row.local else "https")
    assert (parts.hostname in ("localhost", "127.0.0.1")) is row.local
    assert not url.endswith("/")
    assert not parts.query


@ROWS
def test_its_own_page_is_https(name: str, row: Row) -> None:
    assert urlsplit(row.docs).scheme == "https"
    assert urlsplit(row.docs).hostname


@ROWS
def test_variables_are_written_in_capitals(name: str, row: Row) -> None:
    variables = [*row.keys, *row.found_by, *(name for option in row.options.values() for name in option.env)]
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", variable) for variable in variables)
    assert len(variables) == len(set(variables))


def test_the_variable_of_a_key_belongs_to_one_row_unless_it_is_declared_shared() -> None:
    owners: dict[str, str] = {}
    for name, row in CATALOG.items():
        if row.shared:
            continue
        for variable in row.keys:
            assert variable not in owners, f"{variable} is of {owners.get(variable)} and {name}"
            owners[variable] = name


@ROWS
def test_a_shared_variable_is_one_that_others_would_claim(name: str, row: Row) -> None:
    if row.shared and name != "github":
        assert any(set(row.keys) & set(other.keys) for key, other in CATALOG.items() if key != name)


@ROWS
def test_there_is_a_way_to_authenticate(name: str, row: Row) -> None:
    assert row.auth in Row.__annotations__["auth"].__args__
    assert bool(row.header) == (row.auth == "header") or row.auth == "azure"
    assert bool(row.service) == (row.auth == "aws")
    assert bool(row.scope) == (row.auth == "azure")
    if row.auth in ("bearer", "header", "azure", "ibm") and not row.local:
        assert row.keys
    if row.auth == "aws":
        assert "region" in row.options


@ROWS
def test_its_operations_are_known_and_each_is_at_one_place(name: str, row: Row) -> None:
    assert set(row.operations) <= set(PATHS)
    assert set(row.paths) <= set(PATHS)
    assert set(row.streams) <= set(row.every_operation)
    assert len(row.operations) == len(set(row.operations))
    assert not set(row.operations) & set(row.paths)
    assert row.every_operation


def test_paths_are_given_for_every_operation_but_pass_through() -> None:
    assert set(PATHS) == set(OPERATIONS) - {"passthrough"}


@pytest.mark.parametrize("operation", sorted(PATHS))
def test_the_model_is_in_the_path_where_the_operation_says_so(operation: str) -> None:
    for name, row in CATALOG.items():
        if operation in row.every_operation:
            named = "model" in holes(row.path(operation))
            if OPERATIONS[operation].model_in == "path":
                assert named, name
            else:
                assert not named or row.auth in ("azure", "google"), name


@ROWS
def test_every_hole_is_an_option_and_every_option_fills_a_hole(name: str, row: Row) -> None:
    used = set().union(*map(holes, templates(row)))
    named = {option.by for option in row.options.values() if option.by}
    assert used - {"model"} <= set(row.options)
    assert set(row.options) <= used | named
    assert not set(row.options) & OPTIONS.get(row.auth, frozenset())


@ROWS
def test_whole_urls_are_https(name: str, row: Row) -> None:
    for path in (*row.paths.values(), *row.streams.values(), row.prefix or "/"):
        assert path.startswith(("/", "https://")), path


def test_an_openai_compatible_row_takes_under_ten_lines() -> None:
    written = resources.files("portico.providers").joinpath("catalog.toml").read_text(encoding="utf-8")
    taken: dict[str, int] = {}
    for table in re.split(r"\n(?=\[providers\.)", written)[1:]:
        name = re.match(r"\[providers\.(\w+)", table)
        assert name is not None
        row = CATALOG[name[1]]
        if row.auth == "bearer" and len(row.every_operation) <= 5 and not row.options:
            taken[name[1]] = len([line for line in table.split("\n")[1:] if line.strip() and not line.startswith("#")])
    assert len(taken) > 50
    assert {name: lines for name, lines in taken.items() if lines >= 10} == {}


@pytest.mark.parametrize(
    "written",
    [
        '[quirks]\n[providers.x]\nname = "X"\nbase_url = "https://x"\ndocs = "https://x"\nmodel = "y"\n',
        '[quirks]\n[providers.x]\nname = "X"\nbase_url = "https://x"\ndocs = "https://x"\nauth = "magic"\n',
        '[quirks]\n[providers.x]\nname = "X"\ndocs = "https://x"\n',
    ],
)
def test_a_row_with_an_unknown_key_scheme_or_a_gap_is_refused(written: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        rows.load(written)
