"""`uv run poe chart`: renders the plain manifests of Kubernetes from the Helm chart."""

from collections.abc import Sequence
from pathlib import Path

from tests.clients.toolchains import ended
from tests.support.helm import helm

DEPLOY = Path(__file__).parents[2] / "server" / "deploy"
CHART = DEPLOY / "helm" / "tokend"
VALUES = DEPLOY / "kubernetes" / "values.yaml"
MANIFESTS = DEPLOY / "kubernetes" / "tokend.yaml"

#: Helm's message about the file that is a link here, and a file in a package.
_SYMLINK_MESSAGE = "found symbolic link"

#: Releases of Kubernetes whose schemas are used.
RELEASES = ("1.25", "1.29", "1.33", "1.37")

#: The release of the plain manifests: fields of later releases are left out of them.
OLDEST = RELEASES[0]


def render(*settings: str, values: Sequence[Path] = (), release: str = "tokend", kubernetes: str = OLDEST) -> str:
    """Renders the chart with the values of the plain manifests, and with others over them.

    Args:
        settings: Values in the format of `--set`.
        values: Files of values.
        release: The name of Helm's release.
        kubernetes: The version of the cluster.
    """
    options = [word for path in values for word in ("--values", str(path))]
    options += [word for setting in settings for word in ("--set", setting)]
    command = [str(helm()), "template", release, str(CHART), "--kube-version", kubernetes, "--values", str(VALUES)]
    rendered = ended([*command, *options], CHART)
    assert rendered.returncode == 0, rendered.stdout
    return "".join(f"{line}\n" for line in rendered.stdout.splitlines() if _SYMLINK_MESSAGE not in line)


if __name__ == "__main__":
    MANIFESTS.write_text(render(), encoding="utf-8")
