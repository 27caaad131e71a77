"""The files that a configuration was read from, watched for a change of their content.

Content is compared, not times: a Kubernetes volume swaps a symbolic link, an editor renames a file over another.
"""

from collections.abc import Iterable


class WatchedFiles:
    """Looks at some files, and tells when what is in them has changed and settled."""

    def __init__(self, files: Iterable[str] = ()) -> None:
        self.files = tuple(files)
        self._known = self._look()
        self._seen = self._known

    def watch(self, files: Iterable[str]) -> None:
        """Watch these files from now on.

        A file that was watched before keeps what is known of it: it may have changed while the others were found.
        """
        known = dict(zip(self.files, self._known, strict=True))
        self.files = tuple(files)
        self._known = tuple(known[path] if path in known else _fingerprint(path) for path in self.files)
        self._seen = self._known

    @property
    def unsettled(self) -> bool:
        """Whether a change was seen at the last look; look again soon."""
        return self._seen != self._known

    def changed(self) -> bool:
        """Look; return whether there is a change, and the same one as at the last look (a writer may be half-way)."""
        now = self._look()
        settled = now == self._seen
        self._seen = now
        if settled and now != self._known:
            self._known = now
            return True
        return False

    def _look(self) -> tuple[int | None, ...]:
        return tuple(_fingerprint(path) for path in self.files)


def _fingerprint(path: str) -> int | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # pathlib is not worth its memory in every call here
            return hash(file.read())
    except OSError:
        return None  # being replaced, or gone: a state like any other
