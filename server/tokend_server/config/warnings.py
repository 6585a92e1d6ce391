"""What a usable configuration may still not be meant to say: `check-config` prints it, and `serve` logs it once."""

from collections.abc import Iterator, Mapping

from tokend_server.config import Config
from tokend_server.config.environment import service_variables
from tokend_server.config.issuer_url import issuer_warnings
from tokend_server.config.postgresql_url import is_unverified


def config_warnings(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """The warnings, each as `setting: what may go wrong`.

    Args:
        config: The configuration.
        environment: All variables.
    """
    if variables := service_variables(environment):
        yield (
            f"environment: {', '.join(variables)}: taken for the variables of a Kubernetes Service or a Docker link, "
            "not for settings; `enableServiceLinks: false` keeps them out of a pod"
        )
    if config.issuer.url and config.pools_of("local"):
        yield from (f"issuer.url: {warning}" for warning in issuer_warnings(config.issuer.url))
    if config.pools_of("local") and is_unverified(config.store_url):
        yield (
            "store.url: whoever stands between could answer for the database and read the signing keys: add "
            "sslmode=verify-full and sslrootcert"
        )
    if config.callers.jwt and config.callers.max_token_bytes > config.grpc.max_metadata_bytes:
        yield "callers.max_token_bytes: grpc.max_metadata_bytes is less, so no call can bear a token of that length"
