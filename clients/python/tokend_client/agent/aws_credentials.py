"""Credentials of AWS for a kept token, as a `credential_process` prints them. It needs the extra `aws`."""

import json

import botocore
import botocore.session
from botocore.config import Config


class NoCredentials(Exception):
    """Raised when STS gives none; the text shows no token."""


def credentials(token: str, role_arn: str, session_name: str, duration_seconds: int | None) -> str:
    """What STS gives for a token (API reference of AssumeRoleWithWebIdentity), as the JSON of `credential_process`.

    Region, endpoint and proxies are botocore's own settings. The source of the format is the page "Sourcing credentials
    with an external process" of AWS's SDKs.

    Raises:
        NoCredentials: STS refuses, or cannot be reached.
    """
    parameters: dict[str, str | int] = {"RoleArn": role_arn, "RoleSessionName": session_name, "WebIdentityToken": token}
    if duration_seconds is not None:
        parameters["DurationSeconds"] = duration_seconds
    try:
        # Unsigned: else the profile would be asked for credentials, and so this program for them, without end.
        sts = botocore.session.get_session().create_client("sts", config=Config(signature_version=botocore.UNSIGNED))
        given = sts.assume_role_with_web_identity(**parameters)["Credentials"]
    except Exception as error:  # noqa: BLE001 - botocore has errors of its own for some of its settings alone
        raise NoCredentials(str(error).replace(token, "(the token)")) from None
    return json.dumps(
        {
            "Version": 1,
            "AccessKeyId": given["AccessKeyId"],
            "SecretAccessKey": given["SecretAccessKey"],
            "SessionToken": given["SessionToken"],
            "Expiration": given["Expiration"].isoformat(),
        }
    )
