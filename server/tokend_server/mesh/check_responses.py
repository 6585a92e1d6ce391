"""The responses to Envoy's external authorization filter: envoy.service.auth.v3.CheckResponse."""

from collections.abc import Mapping
from math import ceil
from types import MappingProxyType
from typing import Any

import grpc

from tokend_server.errors import RetryableError, TokendError
from tokend_server.mesh.protos import EnvoyProtos
from tokend_server.mesh.verdict import Verdict

#: The HTTP status and the gRPC status of each refusal; Envoy only checks whether the latter is OK.
_REFUSALS: Mapping[Verdict, tuple[int, grpc.StatusCode]] = MappingProxyType(
    {
        Verdict.UNAUTHENTICATED: (401, grpc.StatusCode.UNAUTHENTICATED),
        Verdict.DENIED: (403, grpc.StatusCode.PERMISSION_DENIED),
        Verdict.FAILED: (503, grpc.StatusCode.UNAVAILABLE),
    }
)


class CheckResponses:
    """Makes serialized responses. They contain no reasons, because Envoy forwards their contents to the client."""

    def __init__(self, protos: EnvoyProtos) -> None:
        self._response = protos.message("envoy.service.auth.v3.CheckResponse")
        header = protos.message("envoy.config.core.v3.HeaderValueOption")
        self._overwrite = header.HeaderAppendAction.Value("OVERWRITE_IF_EXISTS_OR_ADD")

    def with_header(self, name: str, value: str) -> bytes:
        """Returns the response that forwards the request with the header, replacing earlier values."""
        answer = self._response()
        self._add(answer.ok_response.headers, name, value)
        return self._serialized(answer)

    def without_header(self, name: str) -> bytes:
        """Returns the response that forwards the request without the header."""
        answer = self._response()
        answer.ok_response.headers_to_remove.append(name)
        return self._serialized(answer)

    def refusal(self, verdict: Verdict, error: TokendError | None = None) -> bytes:
        """Returns the response that denies the request."""
        answer = self._response()
        http_status, code = _REFUSALS[verdict]
        answer.status.code = code.value[0]
        answer.denied_response.status.code = http_status
        if verdict is Verdict.UNAUTHENTICATED:  # RFC 9110, section 15.5.2
            self._add(answer.denied_response.headers, "www-authenticate", "Bearer")
        elif verdict is Verdict.FAILED and isinstance(error, RetryableError):
            self._add(answer.denied_response.headers, "retry-after", str(ceil(error.retry_after)))
        return self._serialized(answer)

    @staticmethod
    def _serialized(answer: Any) -> bytes:  # noqa: ANN401 - a CheckResponse
        serialized: bytes = answer.SerializeToString()
        return serialized

    def _add(self, headers: Any, name: str, value: str) -> None:  # noqa: ANN401 - repeated HeaderValueOption
        option = headers.add(append_action=self._overwrite)
        option.header.key = name
        option.header.value = value
