"""AWS credentials for a token, in the format of `credential_process`. Requires the extra `aws`."""

import json

import botocore
import botocore.session
from botocore.config import Config


class NoCredentials(Exception):
    """Raised if STS returns no credentials; the text contains no token."""


def credentials(token: str, role_arn: str, session_name: str, duration_seconds: int | None) -> str:
    """Returns STS's credentials for a token (AssumeRoleWithWebIdentity), as the JSON of `credential_process`.

    Region, endpoint and proxies are botocore's settings. The format is documented in "Sourcing credentials with an
    external process" of the AWS SDKs.

    Raises:
        NoCredentials: STS rejects the request, or cannot be reached.
    """
    parameters: dict[str, str | int] = {"RoleArn": role_arn, "RoleSessionName": session_name, "WebIdentityToken": token}
    if duration_seconds is not None:
        parameters["DurationSeconds"] = duration_seconds
    try:
        # Unsigned: otherwise botocore would load the profile's credentials, and so call this program recursively.
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
