"""The Cognito engine: Amazon Cognito's own developer identities, with as few requests as possible.

Each operation makes one call to Cognito, or shares an identical call in flight. Tokens may be reused if this is
configured; results that a change may have made outdated are never reused.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TypeVar

from tokend_server.clock import Clock, Deadline
from tokend_server.engine import BeforeChange
from tokend_server.engines.cognito.faults import to_contract_error
from tokend_server.engines.cognito.gateway import CognitoGateway, Response
from tokend_server.engines.cognito.lasting_errors import LastingErrors
from tokend_server.engines.cognito.parameters import (
    lookup_parameters,
    merge_parameters,
    token_parameters,
    unlink_parameters,
)
from tokend_server.engines.cognito.responses import (
    check_acknowledged,
    developer_identity,
    identity_id,
    issued_token,
)
from tokend_server.errors import (
    DeadlineExceeded,
    EngineMisconfigured,
    EngineUnavailable,
    LastingError,
    TooManyRequests,
)
from tokend_server.model import (
    DeveloperIdentity,
    IssuedToken,
    LookupRequest,
    MergeRequest,
    NumericDate,
    Operation,
    Secret,
    TokenRequest,
    UnlinkRequest,
)
from tokend_server.request_key import request_key
from tokend_server.single_flight import Terms
from tokend_server.token_cache import TokenCache

_Read = TypeVar("_Read")

#: Seconds that a call waits for Cognito if it has a cached token that is past its refresh time.
STALE_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a call, for its errors.

    Attributes:
        identity_id: The identity in the request.
        secrets: The login values, which no text may contain.
    """

    identity_id: str | None = None
    secrets: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class Sharing:
    """The ways in which an engine avoids requests to Cognito.

    Attributes:
        single_flight: Shares one request between identical calls.
        cache: The cache of tokens; None to reuse no tokens.
        serve_stale: Whether to use a cached token after its refresh time while Cognito fails.
    """

    single_flight: bool
    cache: TokenCache | None
    serve_stale: bool


class CognitoEngine:
    """The `Engine` of one pool.

    Args:
        identity_pool_id: The pool.
        gateway: Cognito in the pool's Region.
        sharing: The ways to avoid requests.
        lasting_errors: Remembers errors that last until an operator acts.
        count_result: Counts a result by its source: `cognito`, `shared`, `reused` or `stale`.
        before_change: Called before each request that may make a change.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913
        self,
        identity_pool_id: str,
        gateway: CognitoGateway,
        sharing: Sharing,
        *,
        lasting_errors: LastingErrors,
        count_result: Callable[[str], None],
        before_change: BeforeChange,
        clock: Clock,
    ) -> None:
        self._identity_pool_id = identity_pool_id
        self._gateway = gateway
        self._sharing = sharing
        self._lasting_errors = lasting_errors
        self._count_result = count_result
        self._before_change = before_change
        self._clock = clock
        self._epochs = count()
        self._epoch = next(self._epochs)
        self._retry_at = clock.monotonic()

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, deadline: Deadline) -> IssuedToken:
        deadline.check()
        cache = self._sharing.cache
        key = request_key(self._epoch, request)
        if cache is None:
            return self._fetch_token(request, Terms(key), deadline)[0]
        return self._cached_token(cache, request, key, deadline)

    def lookup_developer_identity(self, request: LookupRequest, deadline: Deadline) -> DeveloperIdentity:
        deadline.check()
        user = request.developer_user_identifier
        about = Subject(request.identity_id, (user,) if user else ())
        terms = Terms(request_key(self._epoch, request))
        response = self._call(Operation.LOOKUP_DEVELOPER_IDENTITY, lookup_parameters(request), about, deadline, terms)
        return self._read(developer_identity, response)

    def merge_developer_identities(self, request: MergeRequest, deadline: Deadline) -> str:
        deadline.check()
        about = Subject(None, (request.source_user_identifier, request.destination_user_identifier))
        with self._new_epoch():
            response = self._call(Operation.MERGE_DEVELOPER_IDENTITIES, merge_parameters(request), about, deadline)
        return self._read(identity_id, response)

    def unlink_developer_identity(self, request: UnlinkRequest, deadline: Deadline) -> None:
        deadline.check()
        about = Subject(request.identity_id, (request.developer_user_identifier,))
        with self._new_epoch():
            response = self._call(Operation.UNLINK_DEVELOPER_IDENTITY, unlink_parameters(request), about, deadline)
        self._read(check_acknowledged, response)

    def _cached_token(self, cache: TokenCache, request: TokenRequest, key: bytes, deadline: Deadline) -> IssuedToken:
        if fresh := cache.fresh(key):
            self._count_result("reused")
            return fresh
        if not (self._sharing.serve_stale and cache.usable(key)):
            return self._renewed_token(cache, request, Terms(key), deadline)
        if self._clock.monotonic() >= self._retry_at:
            try:
                soon = deadline.within(min(STALE_TIMEOUT, deadline.remaining() / 2))
                return self._renewed_token(cache, request, Terms(key, repeats_timed_out=False), soon)
            except (EngineUnavailable, EngineMisconfigured, TooManyRequests, DeadlineExceeded):
                deadline.check()
                self._retry_at = self._clock.monotonic() + STALE_TIMEOUT
        stale = cache.usable(key)
        if stale is None:  # it has expired meanwhile
            raise EngineUnavailable("Cognito did not answer in time.")
        self._count_result("stale")
        return stale

    def _renewed_token(self, cache: TokenCache, request: TokenRequest, terms: Terms, deadline: Deadline) -> IssuedToken:
        issued, issued_at = self._fetch_token(request, terms, deadline)
        cache.put(terms.key, issued, issued_at)
        return issued

    def _fetch_token(self, request: TokenRequest, terms: Terms, deadline: Deadline) -> tuple[IssuedToken, NumericDate]:
        about = Subject(request.identity_id, tuple(request.logins.values()))
        response = self._call(
            Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY, token_parameters(request), about, deadline, terms
        )
        return self._read(partial(issued_token, request), response)

    def _call(
        self,
        operation: Operation,
        parameters: Mapping[str, object],
        about: Subject,
        deadline: Deadline,
        terms: Terms | None = None,
    ) -> Response:
        if not operation.is_read_only:
            self._before_change()
        response, shared = self._gateway.call(
            operation,
            parameters,
            deadline,
            lambda error: self._to_contract_error(error, about),
            terms if self._sharing.single_flight else None,
        )
        self._count_result("shared" if shared else "cognito")
        return response

    def _read(self, read: Callable[[Response], _Read], response: Response) -> _Read:
        """Parses a response, if it is from Cognito."""
        try:
            value = read(response)
        except EngineMisconfigured as error:
            self._lasting_errors.record_error(self._identity_pool_id, error)
            raise
        self._lasting_errors.record_success(self._identity_pool_id)
        return value

    def _to_contract_error(self, error: Exception, about: Subject) -> Exception:
        """Returns the contract's error for an error of boto3, or that error itself if it is a defect of tokend."""
        known = to_contract_error(error, about.secrets, self._identity_pool_id, about.identity_id)
        if known is None:
            return error
        if isinstance(known, LastingError):
            self._lasting_errors.record_error(self._identity_pool_id, known)
        elif not isinstance(known, EngineUnavailable):
            self._lasting_errors.record_success(self._identity_pool_id)
        return known

    @contextmanager
    def _new_epoch(self) -> Iterator[None]:
        """Separates calls before a change from calls after it, whether or not the change succeeds."""
        try:
            yield
        finally:
            self._epoch = next(self._epochs)
