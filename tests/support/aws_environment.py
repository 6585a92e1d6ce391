"""The environment of boto3."""

from pathlib import Path

import pytest
from tests.fakes.cognito_upstream import AccessKey

_HIDDEN = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CA_BUNDLE",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
)


def without_aws_settings(environment: pytest.MonkeyPatch, directory: Path) -> None:
    """Hides the machine's and the user's AWS settings from boto3."""
    for name in _HIDDEN:
        environment.delenv(name, raising=False)
    environment.setenv("AWS_CONFIG_FILE", str(directory / "no-aws-config"))
    environment.setenv("AWS_SHARED_CREDENTIALS_FILE", str(directory / "no-aws-credentials"))
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")


def give_credentials(environment: pytest.MonkeyPatch, key: AccessKey) -> None:
    for name, value in key._asdict().items():
        if value:
            environment.setenv(name.upper(), value)
