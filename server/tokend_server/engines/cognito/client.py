"""The operations of Cognito's API that are used."""

from collections.abc import Mapping
from typing import Any, Protocol


class CognitoClient(Protocol):
    """The methods of boto3's client for `cognito-identity` that are used; parameters and responses are AWS's."""

    meta: Any

    def get_open_id_token_for_developer_identity(self, **parameters: object) -> Mapping[str, Any]: ...

    def lookup_developer_identity(self, **parameters: object) -> Mapping[str, Any]: ...

    def merge_developer_identities(self, **parameters: object) -> Mapping[str, Any]: ...

    def unlink_developer_identity(self, **parameters: object) -> Mapping[str, Any]: ...

    def close(self) -> None: ...
