"""Envoy's external authorization: allows requests, and adds tokens to them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import orjson

from tokend_server.callers.patterns import matches
from tokend_server.errors import CallerNotAllowed, NotAuthorized, TokendError
from tokend_server.failures import log_failure
from tokend_server.lru_cache import LruCache
from tokend_server.mesh.check_responses import CheckResponses
from tokend_server.mesh.protos import EnvoyProtos
from tokend_server.mesh.token_mapping import MappedValues, NoTag, NoUser, TokenMapping
from tokend_server.mesh.tokens import MeshTokens, Reusable
from tokend_server.mesh.verdict import VERDICTS, Verdict
from tokend_server.model import Operation
from tokend_server.rpc.additional_service import AdditionalService
from tokend_server.rpc.call import Call, current_call
from tokend_server.rpc.ended import clear_tracebacks

SERVICE_NAME = "envoy.service.auth.v3.Authorization"

#: The key of the route's mapping in the context extensions of Envoy's request.
MAPPING_KEY = "tokend.mapping"


@dataclass(frozen=True, slots=True)
class PreparedResponse:
    """A response that was sent, and is sent again while its token can be reused.

    Attributes:
        reusable: Its token.
        response: The serialized message, with the token in clear.
    """

    reusable: Reusable
    response: bytes = field(repr=False)


def response_key(caller: str, mapping: str, values: MappedValues) -> bytes:
    """Returns a key that two requests share only if they have the same caller, mapping and values.

    Returns:
        A BLAKE2b digest: it is short, discloses nothing about the user, and costs half as much as SHA-256 by OpenSSL.
        The JSON encoding separates the texts unambiguously.
    """
    return hashlib.blake2b(orjson.dumps((caller, mapping, values.user, values.tags)), digest_size=32).digest()


class Authorization:
    """Adds a token for the request's user, and denies requests without a mapping.

    Args:
        protos: Envoy's messages.
        mappings: The mappings by name.
        defaults: Patterns of callers with the mapping of requests whose routes name none; the first match applies.
        tokens: The source of tokens.
        count: Called for each request with the name of its mapping, empty for none, and its verdict.
        max_prepared: The maximum number of cached responses with reused tokens.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
        self,
        protos: EnvoyProtos,
        mappings: Mapping[str, TokenMapping],
        defaults: Sequence[tuple[str, TokenMapping]],
        tokens: MeshTokens,
        count: Callable[[str, Verdict], object],
        max_prepared: int = 0,
    ) -> None:
        self._request = protos.message("envoy.service.auth.v3.CheckRequest")
        self._service = protos.service(SERVICE_NAME)
        self._responses = CheckResponses(protos)
        self._mappings = mappings
        self._defaults = defaults
        self._tokens = tokens
        self._count = count
        self._prepared: LruCache[PreparedResponse] = LruCache(max_prepared)

    def service(self) -> AdditionalService:
        """The service that gRPC listeners serve."""
        return AdditionalService(
            self._service, {"Check": Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY}, self._add_to
        )

    def check(self, request: Any, _context: grpc.ServicerContext | None = None) -> bytes:  # noqa: ANN401 - a message
        """Returns the serialized CheckResponse to a request; records a failure in the current call."""
        call = current_call()
        mapping = self._mapping(request.attributes.context_extensions.get(MAPPING_KEY), call.caller)
        if mapping is None:
            call.failure = CallerNotAllowed("The request's route names no existing mapping.")
            self._count("", Verdict.DENIED)
            return self._responses.refusal(Verdict.DENIED)
        call.mapping = mapping.name
        try:
            response = self._with_token(call, mapping, mapping.values(request.attributes))
        except NoUser:
            call.failure = NotAuthorized("The request has no verified user.")
            return self._refused(mapping, Verdict.UNAUTHENTICATED)
        except NoTag:
            call.failure = NotAuthorized("The request lacks the value of a principal tag.")
            return self._refused(mapping, Verdict.DENIED)
        except TokendError as error:
            log_failure("Check", error)
            clear_tracebacks(error)
            call.failure = error
            return self._refused(mapping, VERDICTS[type(error)], error)
        self._count(mapping.name, Verdict.TOKEN)
        return response

    def _with_token(self, call: Call, mapping: TokenMapping, values: MappedValues) -> bytes:
        key = response_key(call.caller, mapping.name, values)
        prepared = self._prepared.get(key)
        if prepared and self._tokens.try_reuse(prepared.reusable, call):
            return prepared.response
        issued, reusable = self._tokens.token_for(mapping.wanted(values))
        response = self._responses.with_header(mapping.header, mapping.header_value(issued.token))
        if reusable:
            self._prepared.put(key, PreparedResponse(reusable, response))
        return response

    def _mapping(self, name: str | None, caller: str) -> TokenMapping | None:
        if name is not None:
            return self._mappings.get(name)
        return next((mapping for pattern, mapping in self._defaults if matches(pattern, caller)), None)

    def _refused(self, mapping: TokenMapping, verdict: Verdict, error: TokendError | None = None) -> bytes:
        if verdict is Verdict.FAILED and mapping.is_open:
            self._count(mapping.name, Verdict.LET_THROUGH)
            return self._responses.without_header(mapping.header)
        self._count(mapping.name, verdict)
        return self._responses.refusal(verdict, error)

    def _add_to(self, server: grpc.Server) -> None:
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            self.check, self._request.FromString
        )
        server.add_registered_method_handlers(SERVICE_NAME, {"Check": handler})
