"""Checks that the extra `envoy` is installed if the configuration needs it."""

from importlib.util import find_spec

from tokend_server.config import Config


def extra_problems(config: Config) -> list[str]:
    """Returns the sections of the configuration that need the extra if it is not installed."""
    if find_spec("tokend_envoy_proto"):
        return []
    asked_for = {"ext_authz": config.ext_authz.mappings, "sds": config.sds.listen}
    return [
        f"{section}: needs the extra envoy: install tokend-server[envoy]"
        for section, asked in asked_for.items()
        if asked
    ]
