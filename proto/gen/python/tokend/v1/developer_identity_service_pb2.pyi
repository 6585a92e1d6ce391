import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetOpenIdTokenForDeveloperIdentityRequest(_message.Message):
    __slots__ = ("identity_pool_id", "identity_id", "logins", "principal_tags", "token_duration")
    class LoginsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class PrincipalTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    IDENTITY_POOL_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    LOGINS_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_TAGS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_DURATION_FIELD_NUMBER: _ClassVar[int]
    identity_pool_id: str
    identity_id: str
    logins: _containers.ScalarMap[str, str]
    principal_tags: _containers.ScalarMap[str, str]
    token_duration: _duration_pb2.Duration
    def __init__(self, identity_pool_id: _Optional[str] = ..., identity_id: _Optional[str] = ..., logins: _Optional[_Mapping[str, str]] = ..., principal_tags: _Optional[_Mapping[str, str]] = ..., token_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetOpenIdTokenForDeveloperIdentityResponse(_message.Message):
    __slots__ = ("identity_id", "token", "expire_time", "refresh_time", "issue_time")
    IDENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TIME_FIELD_NUMBER: _ClassVar[int]
    ISSUE_TIME_FIELD_NUMBER: _ClassVar[int]
    identity_id: str
    token: str
    expire_time: _timestamp_pb2.Timestamp
    refresh_time: _timestamp_pb2.Timestamp
    issue_time: _timestamp_pb2.Timestamp
    def __init__(self, identity_id: _Optional[str] = ..., token: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., refresh_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., issue_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LookupDeveloperIdentityRequest(_message.Message):
    __slots__ = ("identity_pool_id", "identity_id", "developer_user_identifier", "max_results", "next_token")
    IDENTITY_POOL_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    DEVELOPER_USER_IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    MAX_RESULTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    identity_pool_id: str
    identity_id: str
    developer_user_identifier: str
    max_results: int
    next_token: str
    def __init__(self, identity_pool_id: _Optional[str] = ..., identity_id: _Optional[str] = ..., developer_user_identifier: _Optional[str] = ..., max_results: _Optional[int] = ..., next_token: _Optional[str] = ...) -> None: ...

class LookupDeveloperIdentityResponse(_message.Message):
    __slots__ = ("identity_id", "developer_user_identifier_list", "next_token")
    IDENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    DEVELOPER_USER_IDENTIFIER_LIST_FIELD_NUMBER: _ClassVar[int]
    NEXT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    identity_id: str
    developer_user_identifier_list: _containers.RepeatedScalarFieldContainer[str]
    next_token: str
    def __init__(self, identity_id: _Optional[str] = ..., developer_user_identifier_list: _Optional[_Iterable[str]] = ..., next_token: _Optional[str] = ...) -> None: ...

class MergeDeveloperIdentitiesRequest(_message.Message):
    __slots__ = ("source_user_identifier", "destination_user_identifier", "developer_provider_name", "identity_pool_id")
    SOURCE_USER_IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_USER_IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    DEVELOPER_PROVIDER_NAME_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_POOL_ID_FIELD_NUMBER: _ClassVar[int]
    source_user_identifier: str
    destination_user_identifier: str
    developer_provider_name: str
    identity_pool_id: str
    def __init__(self, source_user_identifier: _Optional[str] = ..., destination_user_identifier: _Optional[str] = ..., developer_provider_name: _Optional[str] = ..., identity_pool_id: _Optional[str] = ...) -> None: ...

class MergeDeveloperIdentitiesResponse(_message.Message):
    __slots__ = ("identity_id",)
    IDENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    identity_id: str
    def __init__(self, identity_id: _Optional[str] = ...) -> None: ...

class UnlinkDeveloperIdentityRequest(_message.Message):
    __slots__ = ("identity_id", "identity_pool_id", "developer_provider_name", "developer_user_identifier")
    IDENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_POOL_ID_FIELD_NUMBER: _ClassVar[int]
    DEVELOPER_PROVIDER_NAME_FIELD_NUMBER: _ClassVar[int]
    DEVELOPER_USER_IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    identity_id: str
    identity_pool_id: str
    developer_provider_name: str
    developer_user_identifier: str
    def __init__(self, identity_id: _Optional[str] = ..., identity_pool_id: _Optional[str] = ..., developer_provider_name: _Optional[str] = ..., developer_user_identifier: _Optional[str] = ...) -> None: ...

class UnlinkDeveloperIdentityResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
