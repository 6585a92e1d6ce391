"""The calls of `tests.linearizability` over gRPC, with the same results."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from tests.linearizability.calls import DEVELOPER, Answer, Call
from tests.linearizability.model import INTERRUPTED
from tests.support.calls import Caller
from tests.support.server_process import POOL_ID

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server import errors

#: Longer than any call: a call that ends at its deadline might take effect later.
_TIMEOUT = 60.0

_ERRORS: Mapping[str, str] = {
    kind.reason: name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.TokendError) and kind.reason
}


class Refused(Exception):
    """Raised when a call fails without a reason in this test."""


def answer(caller: Caller, call: Call, is_killed: threading.Event) -> Answer:
    """Makes the call, and returns its result.

    Args:
        caller: Calls a server.
        call: The call.
        is_killed: Set before the server is killed.

    Raises:
        Refused: It failed although the server was running, and not for a reason of the call itself.
    """
    try:
        return _ANSWERS[call.operation](caller, call)
    except grpc.RpcError as error:
        # Every error that a stub raises is the failed call as well.
        return _failure(cast("grpc.Call", error), is_killed)


def _failure(failed: grpc.Call, is_killed: threading.Event) -> Answer:
    status = rpc_status.from_call(failed)
    info = ErrorInfo()
    for detail in status.details if status else ():
        detail.Unpack(info)
    name = _ERRORS.get(info.reason)
    if name and failed.code() is not grpc.StatusCode.UNAVAILABLE:
        return ("error", name)
    if failed.code() is grpc.StatusCode.UNAVAILABLE and not name and is_killed.is_set():
        return INTERRUPTED
    raise Refused(f"{failed.code().name}: {failed.details()}")


def _token(caller: Caller, call: Call) -> Answer:
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, identity_id=call.identity_id or "", logins=call.logins
    )
    return ("identity", caller.stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=_TIMEOUT).identity_id)


def _lookup(caller: Caller, call: Call) -> Answer:
    request = pb.LookupDeveloperIdentityRequest(
        identity_pool_id=POOL_ID,
        identity_id=call.identity_id or "",
        developer_user_identifier=call.logins.get("user", ""),
    )
    found = caller.stub.LookupDeveloperIdentity(request, timeout=_TIMEOUT)
    return ("users", found.identity_id, *sorted(found.developer_user_identifier_list))


def _merge(caller: Caller, call: Call) -> Answer:
    request = pb.MergeDeveloperIdentitiesRequest(
        identity_pool_id=POOL_ID,
        developer_provider_name=DEVELOPER,
        source_user_identifier=call.logins["source"],
        destination_user_identifier=call.logins["destination"],
    )
    return ("identity", caller.stub.MergeDeveloperIdentities(request, timeout=_TIMEOUT).identity_id)


def _unlink(caller: Caller, call: Call) -> Answer:
    request = pb.UnlinkDeveloperIdentityRequest(
        identity_pool_id=POOL_ID,
        identity_id=call.identity_id or "",
        developer_provider_name=DEVELOPER,
        developer_user_identifier=call.logins["user"],
    )
    caller.stub.UnlinkDeveloperIdentity(request, timeout=_TIMEOUT)
    return ("unlinked",)


_ANSWERS: Mapping[str, Callable[[Any, Call], Answer]] = {
    "token alone": _token,
    "lookup": _lookup,
    "merge": _merge,
    "unlink": _unlink,
}
