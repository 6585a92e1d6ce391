"""The environment variables with which AWS clients call a service on this machine."""

import shlex
from collections.abc import Mapping

from tokend_server.app import Service
from tokend_server.config import Config
from tokend_server.model import Secret, pool_region

_LOOPBACK = "127.0.0.1"
_PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")

#: Variables of an existing emulator of AWS or STS, which serves what this service does not.
_OTHER_STS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS")

#: Variables with which clients would use other credentials or endpoints, whatever else is set.
CONFLICTING_VARIABLES = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)


def variables(
    config: Config, service: Service, access_key_id: str, secret: Secret, environment: Mapping[str, str]
) -> dict[str, str]:
    """Returns the variables to set.

    Args:
        config: The configuration of the service; its first pool is used.
        service: The service.
        access_key_id: The access key.
        secret: Its secret.
        environment: The current environment: proxies are bypassed for this machine, and another STS is kept.
    """
    identity_pool_id, pool = next(iter(config.pools.items()))
    region = pool_region(identity_pool_id)
    added = {
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY": f"http://{service.aws_address}",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "AWS_ACCESS_KEY_ID": access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret.reveal(),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "COGNITO_IDENTITY_POOL_ID": identity_pool_id,
        "COGNITO_IDENTITY_DEVELOPER_PROVIDER_NAME": pool.developer_provider_name,
        "COGNITO_IDENTITY_ROLE_ARN": pool.roles.authenticated or "",
        "COGNITO_IDENTITY_ISSUER": service.issuer,
        "TOKEND_ENDPOINT": service.grpc_addresses[0],
    }
    if not any(environment.get(name) for name in _OTHER_STS):
        added["AWS_ENDPOINT_URL_STS"] = added["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]
    if any(environment.get(name) for name in _PROXIES):
        added |= {name: ",".join(filter(None, (environment.get(name), _LOOPBACK))) for name in ("NO_PROXY", "no_proxy")}
    return added


def with_variables(environment: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment with further variables, and without those in `CONFLICTING_VARIABLES`."""
    return {name: value for name, value in environment.items() if name not in CONFLICTING_VARIABLES} | dict(added)


def shell_lines(added: Mapping[str, str]) -> str:
    """Returns commands of a POSIX shell that set variables, and unset those in `CONFLICTING_VARIABLES`."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in added.items()]
    return "\n".join([f"unset {' '.join(CONFLICTING_VARIABLES)}", *lines])
