"""Reads all identities of a pool in Cognito, with the logins that Cognito discloses, for an import."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from tokend_server.aws.attempts import Attempts
from tokend_server.aws.client import aws_client, methods_of
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, UpstreamCall
from tokend_server.clock import Clock, Deadline
from tokend_server.config import Cognito
from tokend_server.engines.cognito.faults import FAULTS, to_contract_error
from tokend_server.engines.cognito.responses import (
    Listed,
    developer_identity,
    developer_provider_name,
    listed_identities,
    unexpected_response,
)
from tokend_server.errors import ConfigError, EngineUnavailable, ResourceNotFound, RetryableError
from tokend_server.model import MAX_LINKED_LOGINS, Identity, Login, pool_region
from tokend_server.token_bucket import TokenBucket

#: The maximum size of a page of ListIdentities or LookupDeveloperIdentity.
PAGE = 60

#: Below Cognito's quota for ListIdentities, 5 a second, which the console uses too.
_LISTINGS_PER_SECOND = 4.0

#: Seconds to wait before a further attempt of a call whose own retries failed.
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)


class SkippedIdentity(NamedTuple):
    """An identity that cannot be imported, and the reason."""

    identity_id: str
    reason: str


class PoolClient:
    """The calls with which a pool is read: rate-limited, with timeouts, and retried on transient errors.

    Args:
        client: boto3's client for the Region.
        settings: The settings of calls to Cognito.
        lookups_per_second: The rate of LookupDeveloperIdentity.
        clock: The time.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - boto3's clients have no types
        settings: Cognito,
        lookups_per_second: float,
        clock: Clock,
        sleep: Callable[[float], None],
    ) -> None:
        self._timeout = settings.timeout_seconds
        self._clock = clock
        self._sleep = sleep
        self._methods = methods_of(client, ("DescribeIdentityPool", "ListIdentities", "LookupDeveloperIdentity"))
        rates = dict.fromkeys(self._methods, _LISTINGS_PER_SECOND) | {"LookupDeveloperIdentity": lookups_per_second}
        self._buckets = {operation: TokenBucket(rate, 1, clock) for operation, rate in rates.items()}
        Attempts(client, self, max_attempts=settings.max_attempts, clock=clock)
        self.close: Callable[[], None] = client.close

    def call(self, operation: str, identity_pool_id: str, **members: object) -> Mapping[str, Any]:
        """Returns the response of an operation.

        Raises:
            TokendError: The error after all retries.
        """
        for pause in _PAUSES:
            try:
                return self._request(operation, identity_pool_id, members)
            except RetryableError:
                self._sleep(pause)
        return self._request(operation, identity_pool_id, members)

    def is_transient(self, failure: Exception | str) -> bool:
        return FAULTS.is_transient(failure)

    def allows_retry(self, call: UpstreamCall) -> bool:
        return not self._buckets[call.operation].take()

    def observe(self, call: UpstreamCall, seconds: float, failure: Exception | str) -> None:
        """Does nothing: a command has no metrics."""

    def _request(self, operation: str, identity_pool_id: str, members: Mapping[str, object]) -> Mapping[str, Any]:
        while wait := self._buckets[operation].take():
            self._sleep(wait)
        limit = Deadline(self._clock).within(self._timeout)
        token = CURRENT_UPSTREAM_CALL.set(UpstreamCall(operation, limit))
        given = {name: value for name, value in members.items() if value is not None}
        try:
            return self._methods[operation](IdentityPoolId=identity_pool_id, **given)
        except Exception as error:
            if not limit.remaining():
                raise EngineUnavailable("Cognito did not answer in time.") from None
            contract_error = to_contract_error(error, (), identity_pool_id)
            if contract_error is None:
                raise
            raise contract_error from None
        finally:
            CURRENT_UPSTREAM_CALL.reset(token)


class PoolReader:
    """Reads a whole pool.

    Args:
        client: Makes the calls.
        source: The pool in Cognito.
        target: The pool into which the identities are imported.
        provider: The developer provider of both.
    """

    def __init__(self, client: PoolClient, source: str, target: str, provider: str) -> None:
        self._client = client
        self._source = source
        self._target = target
        self._provider = provider
        #: Ids of identities without their logins of public providers, for which Cognito does not disclose the users.
        self.incomplete: list[str] = []

    def check(self) -> None:
        """Checks that the pool's users are of the developer provider.

        Raises:
            ConfigError: They are of another developer provider.
        """
        found = developer_provider_name(self._client.call("DescribeIdentityPool", self._source))
        if found != self._provider:
            problem = f"is {self._provider}, but in Cognito it is {found or 'none'}"
            raise ConfigError([f"pools.{self._target}.developer_provider_name: {problem}"])

    def identities(
        self, is_held: Callable[[str, int], bool], progress: Callable[[int], None]
    ) -> Iterator[Identity | SkippedIdentity]:
        """Yields all identities: first the enabled ones, then the disabled ones.

        Cognito does not mark disabled identities, but can omit them. All identities are listed first, so that one that
        is created in the meantime does not count as disabled.

        Args:
            is_held: Returns whether the identity with an id, last modified at a date, need not be read.
            progress: Called for each identity with the number of identities that have been processed.
        """
        others = {each.identity_id: each for each in self._list_identities(hide_disabled=False)}
        for number, listed in enumerate(self._list_identities(hide_disabled=True), start=1):
            progress(number)
            others.pop(listed.identity_id, None)
            public = listed.provider_names - {self._provider}
            if not is_held(listed.identity_id, listed.last_modified_date):
                read = self._read(listed, public)
                yield read
                if isinstance(read, SkippedIdentity):
                    continue
            if public:
                self.incomplete.append(listed.identity_id)
        for listed in others.values():
            if not is_held(listed.identity_id, listed.last_modified_date):
                yield self._identity(listed, frozenset(), disabled=True)

    def _list_identities(self, *, hide_disabled: bool) -> Iterator[Listed]:
        for response in self._pages("ListIdentities", HideDisabled=hide_disabled):
            yield from listed_identities(response)

    def _read(self, listed: Listed, public: frozenset[str]) -> Identity | SkippedIdentity:
        if not listed.identity_id.startswith(f"{pool_region(self._source)}:"):
            return SkippedIdentity(listed.identity_id, "it is in another region than the pool")
        logins = frozenset(self._developer_logins(listed.identity_id))
        if not logins and self._provider in listed.provider_names:
            return SkippedIdentity(listed.identity_id, "it was changed during the import: repeat the import")
        if not logins and public:
            return SkippedIdentity(
                listed.identity_id, f"it has only logins of {', '.join(sorted(public))}, without their users"
            )
        if len(logins) > MAX_LINKED_LOGINS:
            return SkippedIdentity(listed.identity_id, f"it has {len(logins)} logins, more than {MAX_LINKED_LOGINS}")
        return self._identity(listed, logins, disabled=False)

    def _developer_logins(self, identity_id: str) -> Iterator[Login]:
        try:
            for found in map(developer_identity, self._pages("LookupDeveloperIdentity", IdentityId=identity_id)):
                if found.identity_id != identity_id:
                    raise unexpected_response()
                for user in found.developer_user_identifiers:
                    yield Login(self._provider, user)
        except ResourceNotFound as error:
            if error.resource_type == "IdentityPool":
                raise
            # Otherwise it has no developer user in Cognito.

    def _pages(self, operation: str, **members: object) -> Iterator[Mapping[str, Any]]:
        """Yields the responses of all pages, whose members the caller checks before it requests the next page."""
        next_token = None
        while True:
            response = self._client.call(operation, self._source, MaxResults=PAGE, NextToken=next_token, **members)
            yield response
            following = response.get("NextToken") or None
            if following is None:
                return
            if following == next_token:
                raise unexpected_response()
            next_token = following

    def _identity(self, listed: Listed, logins: frozenset[Login], *, disabled: bool) -> Identity:
        return Identity(
            identity_id=listed.identity_id,
            identity_pool_id=self._target,
            creation_date=listed.creation_date,
            last_modified_date=listed.last_modified_date,
            logins=logins,
            disabled=disabled,
        )


def pool_client(
    settings: Cognito, region: str, lookups_per_second: float, clock: Clock, sleep: Callable[[float], None]
) -> PoolClient:
    """Returns the calls to a Region, without a request.

    Raises:
        ConfigError: The profile or the endpoint cannot be used.
    """
    try:
        client, _credentials = aws_client("cognito-identity", settings, region, connections=1, clock=clock)
    except ValueError as error:
        raise ConfigError([f"cognito: {error}"]) from error
    return PoolClient(client, settings, lookups_per_second, clock, sleep)
