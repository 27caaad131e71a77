"""A change of content is seen once, when it has settled."""

import pytest

from portico.supervisor.watched_files import WatchedFiles


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "portico.yaml"
    path.write_text("one")
    return path


def test_nothing_new_is_no_change(file):
    watched = WatchedFiles([str(file)])
    file.touch()
    assert not watched.changed()
    assert not watched.unsettled


def test_a_change_counts_when_two_looks_agree(file):
    watched = WatchedFiles([str(file)])
    file.write_text("two")
    assert not watched.changed()
    assert watched.unsettled
    assert watched.changed()
    assert not watched.changed()


def test_a_file_that_is_written_on_is_not_read_half_way(file):
    watched = WatchedFiles([str(file)])
    for text in ("t", "tw", "two"):
        file.write_text(text)
        assert not watched.changed()
    assert watched.changed()


def test_a_change_taken_back_is_none(file):
    watched = WatchedFiles([str(file)])
    file.write_text("two")
    watched.changed()
    file.write_text("one")
    assert not watched.changed()
    assert not watched.changed()


def test_a_file_gone_for_a_moment_is_no_change(file):
    watched = WatchedFiles([str(file)])
    file.unlink()
    watched.changed()
    file.write_text("one")
    assert not watched.changed()
    assert not watched.changed()


def test_a_change_made_while_the_list_of_files_was_found_is_still_seen(file, tmp_path):
    other = tmp_path / "included.yaml"
    other.write_text("part")
    watched = WatchedFiles([str(file)])
    file.write_text("two")
    watched.watch([str(file), str(other)])
    watched.changed()
    assert watched.changed()
