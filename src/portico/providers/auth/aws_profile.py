"""The files that the AWS command line keeps: `~/.aws/credentials` and `~/.aws/config`.

https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html (read 2026-11).
"""

import configparser
from collections.abc import Mapping
from pathlib import Path

from portico.errors import CredentialError


def profile(environ: Mapping[str, str], name: str | None) -> dict[str, str] | None:
    """Return the settings of a profile, the credentials file over the config file, or None when neither names it.

    Without a name it is AWS_PROFILE, or `default`. CredentialError when a file cannot be read as such a file.
    """
    wanted = name or environ.get("AWS_PROFILE") or "default"
    home = Path(environ.get("HOME", "~")).expanduser()
    config = _sections(Path(environ.get("AWS_CONFIG_FILE") or home / ".aws" / "config"))
    credentials = _sections(Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials"))
    found = [
        section
        for section in (
            config.get(f"profile {wanted}"),
            config.get("default") if wanted == "default" else None,
            credentials.get(wanted),
        )
        if section is not None
    ]
    if not found:
        return None
    merged: dict[str, str] = {}
    for section in found:
        merged.update(section)
    return merged


def _sections(path: Path) -> dict[str, dict[str, str]]:
    # `default` must be a section like any other, and `%` stands for itself
    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        parser.read_string(path.expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # the parser's own message quotes the line, which may be a key
        raise CredentialError(f"AWS profile: {str(path)!r} cannot be read ({type(error).__name__}).") from None
    return {" ".join(section.split()): dict(parser.items(section)) for section in parser.sections()}
