"""What is used of Cognito's API."""

from collections.abc import Mapping
from typing import Any, Protocol


class CognitoClient(Protocol):
    """What is used of boto3's client for `cognito-identity`; parameters and responses are AWS's."""

    meta: Any

    def get_open_id_token_for_developer_identity(self, **parameters: object) -> Mapping[str, Any]: ...

    def lookup_developer_identity(self, **parameters: object) -> Mapping[str, Any]: ...

    def merge_developer_identities(self, **parameters: object) -> Mapping[str, Any]: ...

    def unlink_developer_identity(self, **parameters: object) -> Mapping[str, Any]: ...

    def close(self) -> None: ...
