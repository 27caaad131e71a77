"""A token that the platform keeps fresh in a local file, read at each use."""

from pathlib import Path

from portico.errors import CredentialError


def read(what: str, path: str) -> str:
    """Return the text of a token file, stripped. CredentialError when it cannot be read or is empty.

    It blocks: such files are a few hundred bytes on a local or memory file system.
    """
    try:
        found = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(f"{what}: {path!r} cannot be read ({type(error).__name__}).") from None
    if not found:
        raise CredentialError(f"{what}: {path!r} is empty.")
    return found
