"""Calls of Cognito's own API from a scenario, with boto3, and their responses for `shapes`."""

import base64
import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.conformance.names import Json
from tests.conformance.play import Caller

from tokend_server.model import Secret, refresh_time


def aws_client(url: str, access_key_id: str, secret: Secret, region: str) -> Any:  # noqa: ANN401 - boto3 has no types
    """Returns a client without its own checks and retries."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1}, proxies={})
    session = boto3.Session(access_key_id, secret.reveal(), region_name=region)
    return session.client("cognito-identity", endpoint_url=url, config=config)


def aws_caller(client: Any) -> Caller:  # noqa: ANN401 - as above
    """Calls the service of a client."""

    def call(operation: str, request: Mapping[str, Json]) -> Json:
        try:
            response = dict(getattr(client, xform_name(operation))(**request))
        except ClientError as error:
            details = error.response["Error"]
            return {"error": details["Code"], "text": details["Message"]}
        answered = response.pop("ResponseMetadata")["HTTPHeaders"]["date"]
        return response | (_times(response["Token"], answered) if "Token" in response else {})

    return call


def _times(token: str, answered: str) -> Json:
    """Returns the values without members in AWS: the times of a token, from its claims and the date of the response."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {
        "ExpireTime": claims["exp"],
        "RefreshTime": refresh_time(claims["iat"], claims["exp"]),
        "IssueTime": int(parsedate_to_datetime(answered).timestamp()),
    }
