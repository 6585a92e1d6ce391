"""What a usable configuration may still not be meant to say: `check-config` prints it, and `serve` logs it once."""

from collections.abc import Iterator, Mapping

from tokend_server.config.environment import service_variables


def config_warnings(environment: Mapping[str, str]) -> Iterator[str]:
    """The warnings, each as `setting: what may go wrong`.

    Args:
        environment: All variables.
    """
    if variables := service_variables(environment):
        yield (
            f"environment: {', '.join(variables)}: taken for the variables of a Kubernetes Service or a Docker link, "
            "not for settings; `enableServiceLinks: false` keeps them out of a pod"
        )
