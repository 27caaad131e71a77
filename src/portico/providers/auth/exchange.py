"""One question to a token endpoint: ask, map every failure to CredentialError, keep secrets out of messages."""

import json
import re
from urllib.parse import urlencode, urlsplit

from portico.errors import CredentialError, PorticoError
from portico.providers.auth.scheme import Fetch, Headers

_CODE = re.compile(r"^[A-Za-z0-9_.-]{1,64}$")
_ENTRA_CODE = re.compile(r"AADSTS\d{3,10}")

Reply = tuple[int, list[tuple[bytes, bytes]], bytes]


async def ask(fetch: Fetch, what: str, method: str, url: str, headers: Headers, body: bytes = b"") -> Reply:
    """Return the reply of `url`, whatever its status. CredentialError when there is none."""
    try:
        return await fetch(method, url, headers, body)
    except CredentialError:
        raise
    except PorticoError as error:
        host = urlsplit(url).netloc
        raise CredentialError(f"{what}: {host} could not be asked ({error.code}).") from error


async def ask_json(
    fetch: Fetch, what: str, method: str, url: str, headers: Headers, body: bytes = b""
) -> dict[str, object]:
    """Return the JSON object that `url` replies with status 200. CredentialError for anything else."""
    status, _, content = await ask(fetch, what, method, url, headers, body)
    host = urlsplit(url).netloc
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        parsed = None
    if status != 200:
        raise CredentialError(f"{what}: {host} answered {status}{_reason(parsed)}.")
    if not isinstance(parsed, dict):
        raise CredentialError(f"{what}: {host} answered 200 with something that is no JSON object.")
    return parsed


async def post_form(fetch: Fetch, what: str, url: str, form: dict[str, str]) -> dict[str, object]:
    """Post a form to an OAuth token endpoint (RFC 6749 section 4.4) and return its JSON object."""
    headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")]
    return await ask_json(fetch, what, "POST", url, headers, urlencode(form).encode())


def text(what: str, reply: dict[str, object], field: str) -> str:
    """Return a field of a reply that must be a non-empty string. CredentialError when it is not."""
    value = reply.get(field)
    if not isinstance(value, str) or not value:
        raise CredentialError(f"{what}: the reply has no {field!r}.")
    return value


def seconds(what: str, reply: dict[str, object], field: str) -> float:
    """Return a field that counts seconds, as a number or as digits (Azure writes both). CredentialError if not."""
    value = reply.get(field)
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise CredentialError(f"{what}: the reply has no {field!r} in seconds.")


def _reason(parsed: object) -> str:
    """Return the error code of an OAuth reply, in parentheses; its free text may repeat what was sent."""
    if not isinstance(parsed, dict):
        return ""
    error = parsed.get("error")
    if isinstance(error, dict):
        error = error.get("status")
    codes = [error] if isinstance(error, str) and _CODE.match(error) else []
    description = parsed.get("error_description")
    if isinstance(description, str) and (found := _ENTRA_CODE.search(description)):
        codes.append(found.group())
    return f" ({', '.join(codes)})" if codes else ""
