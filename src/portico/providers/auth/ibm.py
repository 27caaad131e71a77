"""Tokens of IBM Cloud IAM, for an API key.

https://cloud.ibm.com/docs/account?topic=account-iamtoken_from_apikey (read 2026-11).
"""

from portico.providers.auth.exchange import post_form, seconds, text
from portico.providers.auth.scheme import Fetch

_URL = "https://iam.cloud.ibm.com/identity/token"
_GRANT = "urn:ibm:params:oauth:grant-type:apikey"


class ApiKey:
    """An IBM Cloud API key, exchanged for a token of an hour."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def __call__(self, fetch: Fetch, now: float) -> tuple[str, float | None]:
        """Return a token and when it ends. CredentialError when the key is refused."""
        reply = await post_form(fetch, "IBM Cloud", _URL, {"grant_type": _GRANT, "apikey": self._key})
        return text("IBM Cloud", reply, "access_token"), now + seconds("IBM Cloud", reply, "expires_in")
