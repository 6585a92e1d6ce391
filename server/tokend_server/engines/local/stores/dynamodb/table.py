"""The table: calls to DynamoDB's API with timeouts, and their failures as tokend's errors."""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from tokend_server.aws.client import methods_of
from tokend_server.aws.faults import cancellation_reasons, error_code
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, UpstreamCall
from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.stores.dynamodb.actions import Action
from tokend_server.engines.local.stores.dynamodb.fault_rows import (
    FAULTS,
    FINAL_ERRORS,
    OPERATIONS,
    RETRIED,
    ROWS,
    Verdict,
    verdict,
)
from tokend_server.engines.local.stores.dynamodb.items import PARTITION_KEY, SORT_KEY, Item
from tokend_server.errors import DeadlineExceeded, EngineUnavailable

#: The maximum number of items in a BatchGetItem (service quotas of DynamoDB).
_MAX_KEYS = 100

#: The maximum number of attempts of a conflicting transaction, and the longest first and later pauses.
_ATTEMPTS = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2

#: The prefix of the content type of DynamoDB's responses.
_CONTENT_TYPE = "application/x-amz-json-1."

#: Waits for a number of seconds.
Sleep: TypeAlias = Callable[[float], None]

#: The members of a request and of a response, as AWS names them.
_Parameters: TypeAlias = Mapping[str, Any]
_Response: TypeAlias = Mapping[str, Any]


class Table:
    """One table.

    Args:
        client: boto3's client, whose connections and retries respect the call's deadline.
        name: The table's name.
        timeout: The timeout of requests in seconds, whatever the caller's deadline.
        clock: The time.
        sleep: Waits before a transaction is retried.
    """

    def __init__(self, client: Any, name: str, timeout: float, clock: Clock, sleep: Sleep = time.sleep) -> None:  # noqa: ANN401
        self._methods = methods_of(client, OPERATIONS)
        self._close = client.close
        self._name = name
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep

    def get(self, key: Item, deadline: Deadline | None = None) -> Item | None:
        """Returns the current state of an item."""
        return self._get_item(key, deadline).get("Item")

    def get_if_table(self, key: Item) -> Item | None:
        """Returns the current state of an item; None also if there is no table."""
        with suppress(_Expected):
            return self._get_item(key, expected="ResourceNotFoundException").get("Item")
        return None

    def get_snapshot(self, keys: Sequence[Item], deadline: Deadline | None = None) -> list[Item | None]:
        """Returns a consistent snapshot of items, in the order of their keys.

        Raises:
            EngineUnavailable: DynamoDB does not answer, or the items change constantly.
        """
        if len(keys) == 1:  # a read of one item is consistent, at half the price
            return [self.get(keys[0], deadline)]
        request = {"TransactItems": [{"Get": {"TableName": self._name, "Key": key}} for key in keys]}
        try:
            found = self._transact("TransactGetItems", request, deadline)
        except _Cancelled as cancelled:
            raise FINAL_ERRORS[cancelled.verdict].to_error() from None
        return [each.get("Item") for each in found["Responses"]]

    def get_existing(self, keys: Sequence[Item]) -> Iterator[Item]:
        """Yields the current state of each existing item, in any order."""
        for start in range(0, len(keys), _MAX_KEYS):
            left = list(keys[start : start + _MAX_KEYS])
            for pause in self._pauses():
                request = {"RequestItems": {self._name: {"Keys": left, "ConsistentRead": True}}}
                found = self._call("BatchGetItem", request)
                yield from found["Responses"].get(self._name, ())
                left = found.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
                if not left:
                    break
                self._sleep(pause)
            else:
                raise FINAL_ERRORS[Verdict.THROTTLED].to_error()

    def query(self, partition: str, *, after: str | None = None, page: int | None = None) -> Iterator[Item]:
        """Yields the current state of each item of a partition, ordered by sort key.

        Args:
            partition: The partition.
            after: The sort key after which to start.
            page: The number of items in a request; None for DynamoDB's maximum.
        """
        condition, names = "#partition = :partition", {"#partition": PARTITION_KEY}
        values = {":partition": {"S": partition}}
        if after is not None:
            condition += " AND #sort > :after"
            names["#sort"], values[":after"] = SORT_KEY, {"S": after}
        request = {
            "TableName": self._name,
            "ConsistentRead": True,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        if page is not None:
            request["Limit"] = page
        while True:
            found = self._call("Query", request)
            yield from found["Items"]
            if not found.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = found["LastEvaluatedKey"]

    def put(self, item: Item) -> None:
        """Writes an item, whether or not it exists."""
        request = {"TableName": self._name, "Item": item}
        self._call("PutItem", request)

    def commit(self, actions: Sequence[Action], deadline: Deadline | None = None) -> None:
        """Applies all actions durably, or none.

        A request whose response is lost is repeated with its token, which makes it idempotent.

        Raises:
            StaleReading: A condition does not hold, or conflicts with other transactions persist.
            DeadlineExceeded: The deadline passed before a request was sent.
            EngineUnavailable: DynamoDB does not answer; all actions or none may have been applied.
        """
        request = {
            "TransactItems": [{kind: {"TableName": self._name, **members}} for kind, members in actions],
            "ClientRequestToken": str(uuid.uuid4()),
        }
        try:
            self._transact("TransactWriteItems", request, deadline)
        except _Cancelled as cancelled:
            if cancelled.verdict in {Verdict.STALE, Verdict.CONFLICT}:
                raise StaleReading from None
            raise FINAL_ERRORS[cancelled.verdict].to_error() from None

    def describe(self) -> _Parameters | None:
        """Returns DynamoDB's description of the table; None if there is none."""
        with suppress(_Expected):
            request = {"TableName": self._name}
            found: _Parameters = self._call("DescribeTable", request, expected="ResourceNotFoundException")["Table"]
            return found
        return None

    def create(self, settings: _Parameters) -> bool:
        """Creates the table; returns False if another process already did."""
        with suppress(_Expected):
            self._call("CreateTable", {"TableName": self._name, **settings}, expected="ResourceInUseException")
            return True
        return False

    def enable_backups(self) -> bool:
        """Enables point-in-time recovery; returns whether the table was ready for it.

        Raises:
            EngineMisconfigured: The endpoint does not support such backups.
        """
        request = {"TableName": self._name, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
        with suppress(_Expected):
            self._call("UpdateContinuousBackups", request, expected="ContinuousBackupsUnavailableException")
            return True
        return False

    def close(self) -> None:
        """Closes the connections."""
        self._close()

    def _get_item(self, key: Item, deadline: Deadline | None = None, *, expected: str = "") -> _Response:
        request = {"TableName": self._name, "Key": key, "ConsistentRead": True}
        return self._call("GetItem", request, deadline, expected=expected)

    def _transact(self, operation: str, request: _Parameters, deadline: Deadline | None) -> _Response:
        """Executes a transaction, and retries it if it was cancelled for a transient reason.

        Raises:
            _Cancelled: It was cancelled at the last attempt.
        """
        limit = self._limit(deadline)
        *pauses, _last = self._pauses()
        for pause in pauses:
            try:
                return self._call(operation, request, deadline, limit=limit)
            except _Cancelled as cancelled:
                if cancelled.verdict not in RETRIED or pause >= limit.remaining():
                    raise
            self._sleep(pause)
        return self._call(operation, request, deadline, limit=limit)

    def _call(
        self,
        operation: str,
        request: _Parameters,
        deadline: Deadline | None = None,
        *,
        limit: Deadline | None = None,
        expected: str = "",
    ) -> _Response:
        call = UpstreamCall(operation, limit or self._limit(deadline))
        token = CURRENT_UPSTREAM_CALL.set(call)
        try:
            response: _Response = self._methods[operation](**request)
        except Exception as error:  # noqa: BLE001 - the tables sort what boto3 raises
            if expected and error_code(error) == expected:
                raise _Expected from None
            raise _cancelled(error) or _to_port_error(error, call, deadline) from None
        finally:
            CURRENT_UPSTREAM_CALL.reset(token)
        _check_source(response)
        return response

    def _limit(self, deadline: Deadline | None) -> Deadline:
        return (deadline or Deadline(self._clock)).within(self._timeout)

    @staticmethod
    def _pauses() -> Iterator[float]:
        """Yields random pauses, so that conflicting transactions do not conflict again."""
        longest = (min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) for attempt in range(_ATTEMPTS))
        return (random.uniform(0, each) for each in longest)  # noqa: S311 - no secret


class _Expected(Exception):
    """Raised when DynamoDB responds with the code that the caller expects."""


class _Cancelled(Exception):
    """Raised when DynamoDB cancels a transaction, which has then changed nothing."""

    def __init__(self, found: Verdict) -> None:
        super().__init__(found.value)
        self.verdict = found


def _check_source(response: _Response) -> None:
    """Checks that a response is from DynamoDB.

    botocore treats a body that is not JSON as a response without members, which would mean that an item does not exist.

    Raises:
        EngineMisconfigured: The response is not from DynamoDB.
    """
    metadata = response["ResponseMetadata"]
    is_json = metadata["HTTPHeaders"].get("content-type", "").startswith(_CONTENT_TYPE)
    if not (is_json and metadata.get("RequestId")):
        raise ROWS.not_service.to_error()


def _cancelled(error: Exception) -> _Cancelled | None:
    """Returns the verdict on a transaction that was cancelled for a known reason; None otherwise."""
    found = verdict(cancellation_reasons(error))
    return None if found is None else _Cancelled(found)


def _to_port_error(error: Exception, call: UpstreamCall, deadline: Deadline | None) -> Exception:
    """Returns the local engine's error for a failure, or the failure itself if it is a defect of tokend."""
    if not call.deadline.remaining():
        # Whatever the error, a lack of time may be the cause.
        if deadline is not None and not deadline.remaining() and not call.was_sent:
            return DeadlineExceeded()
        return EngineUnavailable("The identity store did not answer in time.")
    fault = FAULTS.row(error)
    return error if fault is None else fault.to_error()
