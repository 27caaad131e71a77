"""AWS credentials of a provider without a key: what its options name, or the chain that AWS's own tools follow."""

from collections.abc import Mapping

from portico.errors import ConfigError
from portico.providers.auth.aws import Aws
from portico.providers.auth.aws_sources import (
    AwsSource,
    Container,
    Environment,
    Given,
    Instance,
    Profile,
    Role,
    WebIdentity,
)
from portico.providers.auth.scheme import Auth, Clock
from portico.providers.auth.sigv4 import AwsKeys
from portico.providers.row import Row


def aws(name: str, row: Row, options: Mapping[str, str], environ: Mapping[str, str], clock: Clock) -> Auth:
    """Return the credential. ConfigError where options contradict one another."""
    region = options["region"]
    role, session, token_file = (
        options.get(option) or environ.get(variable)
        for option, variable in (
            ("role_arn", "AWS_ROLE_ARN"),
            ("role_session_name", "AWS_ROLE_SESSION_NAME"),
            ("web_identity_token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        )
    )
    identity = [WebIdentity(token_file, role, session, region)] if token_file and role else []
    sources: list[AwsSource]
    if "access_key_id" in options or "secret_access_key" in options:
        if "access_key_id" not in options or "secret_access_key" not in options:
            raise ConfigError(f"{name}: `access_key_id` and `secret_access_key` go together.")
        keys = AwsKeys(options["access_key_id"], options["secret_access_key"], options.get("session_token"))
        sources = [Given(keys)]
    elif "profile" in options:
        sources = [Profile(environ, options["profile"], region, required=True)]
    elif "web_identity_token_file" in options:
        if not identity:
            raise ConfigError(f"{name}: `web_identity_token_file` needs a `role_arn`.")
        sources = list(identity)
    else:
        sources = [
            Environment(environ),
            *identity,
            Profile(environ, None, region),
            Container(environ),
            Instance(environ),
        ]
    if "role_arn" in options and "web_identity_token_file" not in options:
        sources = [Role(sources, options["role_arn"], session, options.get("external_id"), region)]
    return Aws(name, sources, region, row.service, clock)
