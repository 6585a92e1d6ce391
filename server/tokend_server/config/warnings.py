"""Warnings about a valid configuration, which `check-config` prints and `serve` logs once."""

import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress

from tokend_server.config import Config
from tokend_server.config.environment import service_variables
from tokend_server.config.issuer_url import issuer_warnings
from tokend_server.config.mesh_warnings import mesh_warnings
from tokend_server.config.postgresql_url import is_unverified


def config_warnings(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """Yields the warnings, as `setting: what may go wrong`.

    Args:
        config: The configuration.
        environment: All variables.
    """
    if variables := service_variables(environment):
        yield (
            f"environment: {', '.join(variables)}: ignored as variables of a Kubernetes Service or a Docker link; "
            "`enableServiceLinks: false` keeps them out of a pod"
        )
    if config.pools_of("local"):
        yield from _local_warnings(config)
    if config.aws.listen and config.aws.credentials.source == "static":
        yield (
            "aws.credentials.source: GetCredentialsForIdentity returns fake credentials, which AWS does not accept: "
            "for tests only"
        )
    yield from mesh_warnings(config)
    if config.callers.jwt and config.callers.max_token_bytes > config.grpc.max_metadata_bytes:
        yield "callers.max_token_bytes: grpc.max_metadata_bytes is less, so no call can have a token of that length"


def _local_warnings(config: Config) -> Iterator[str]:
    if config.issuer.url:
        yield from (f"issuer.url: {warning}" for warning in issuer_warnings(config.issuer.url))
    if is_unverified(config.store_url):
        yield (
            "store.url: a man in the middle could impersonate the database and read the signing keys: add "
            "sslmode=verify-full and sslrootcert"
        )
    settings = config.keys.encryption
    if config.store.url and settings.method == "none" and config.keys.signer == "store":
        yield (
            "keys.encryption: private keys are stored in clear, so that read access to the store or a copy of it is "
            "enough to sign tokens: set method, and run `tokend keys rewrap`"
        )
    for setting, files in settings.files.items():
        for file in files:
            with suppress(OSError):  # a file that cannot be read is an error, not a warning
                if file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
                    yield (
                        f"keys.encryption.{setting}: {file}: everybody on this machine may read or write it: "
                        f"chmod o= {shlex.quote(str(file))}"
                    )
