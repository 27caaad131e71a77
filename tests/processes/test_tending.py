"""The state of a machine is looked after for as long as a worker lives."""

import logging
from pathlib import Path

import lmdb
import pytest

from portico.books import open_books
from portico.config.schema import Config
from portico.state.contract import Moment


@pytest.mark.source
async def test_what_fails_while_the_state_is_looked_after_is_told_and_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    books = open_books(str(tmp_path), Config())
    again: list[object] = []

    def full(at: Moment) -> None:
        raise lmdb.MapFullError("no room")

    monkeypatch.setattr(books.state, "tidy", full)
    with caplog.at_level(logging.ERROR), monkeypatch.context() as patched:
        patched.setattr("asyncio.get_running_loop", lambda: Later(again))
        books.tend()
    assert again == [books.tend]
    assert "no room" in caplog.text
    books.close()


class Later:
    """As much of a loop as is asked for what comes later."""

    def __init__(self, asked: list[object]) -> None:
        self.asked = asked

    def call_later(self, delay: float, act: object) -> "Later":
        self.asked.append(act)
        return self

    def cancel(self) -> None:
        pass
