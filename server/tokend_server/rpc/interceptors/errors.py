"""The layer that turns what goes wrong into the statuses of the contract."""

from functools import wraps
from typing import Any

import grpc

from tokend_server.call import current_call
from tokend_server.errors import TokendError
from tokend_server.failures import log_defect, log_failure
from tokend_server.rpc.interceptors.layers import Behavior, Method
from tokend_server.rpc.status import internal_status, to_status


def translating_errors(method: Method, behavior: Behavior) -> Behavior:
    """Aborts a call with the status of its error; anything that is no `TokendError` is a defect."""

    @wraps(behavior)
    def translated(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
        try:
            return behavior(request, context, *rest)
        except grpc.RpcError:  # the call has ended before its message came
            raise
        except TokendError as error:
            log_failure(method.name, error)
            context.abort_with_status(to_status(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told no more than that
            request_id = current_call().request_id
            log_defect(method.name, error, request_id)
            context.abort_with_status(internal_status(request_id))

    return translated
