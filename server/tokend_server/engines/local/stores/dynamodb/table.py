"""The table: the calls of DynamoDB's API that are used, each within its time, and their failures in tokend's terms."""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from tokend_server.aws.faults import cancellation_reasons, error_code
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, UpstreamCall
from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.stores.dynamodb.actions import Action
from tokend_server.engines.local.stores.dynamodb.fault_rows import AFTER_ALL, AGAIN, FAULTS, ROWS, Verdict, verdict
from tokend_server.engines.local.stores.dynamodb.items import PARTITION_KEY, SORT_KEY, Item
from tokend_server.errors import DeadlineExceeded, EngineUnavailable

#: The most that one BatchGetItem takes (service quotas of DynamoDB).
_MAX_KEYS = 100

#: How often a transaction is tried that meets others, and the longest pauses after the first and after any.
_ATTEMPTS = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2

#: How the content type of DynamoDB's answers begins.
_CONTENT_TYPE = "application/x-amz-json-1."

#: Waits so many seconds.
Sleep: TypeAlias = Callable[[float], None]

#: The members of a request and of an answer, as AWS names them.
_Parameters: TypeAlias = Mapping[str, Any]
_Answer: TypeAlias = Mapping[str, Any]


class Table:
    """One table.

    Args:
        client: boto3's client, whose connections and retries keep to the call's deadline.
        name: The table's name.
        timeout: Seconds after which no request waits any more, whatever its caller's deadline.
        clock: The time.
        sleep: Waits before a transaction is tried again.
    """

    def __init__(self, client: Any, name: str, timeout: float, clock: Clock, sleep: Sleep = time.sleep) -> None:  # noqa: ANN401
        self._methods: Mapping[str, Callable[..., _Answer]] = {
            "BatchGetItem": client.batch_get_item,
            "CreateTable": client.create_table,
            "DescribeTable": client.describe_table,
            "GetItem": client.get_item,
            "PutItem": client.put_item,
            "Query": client.query,
            "TransactGetItems": client.transact_get_items,
            "TransactWriteItems": client.transact_write_items,
            "UpdateContinuousBackups": client.update_continuous_backups,
        }
        self._close = client.close
        self._name = name
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep

    def get(self, key: Item, deadline: Deadline | None = None) -> Item | None:
        """An item as it is now."""
        return self._get_item(key, deadline).get("Item")

    def get_if_table(self, key: Item) -> Item | None:
        """An item as it is now; None too where there is no table."""
        with suppress(_Expected):
            return self._get_item(key, expected="ResourceNotFoundException").get("Item")
        return None

    def get_together(self, keys: Sequence[Item], deadline: Deadline | None = None) -> list[Item | None]:
        """Items as they were at one moment, in the order of their keys.

        Raises:
            EngineUnavailable: DynamoDB does not answer, or they are being changed again and again.
        """
        if len(keys) == 1:  # what is one item is of one moment, for half the price
            return [self.get(keys[0], deadline)]
        asked = {"TransactItems": [{"Get": {"TableName": self._name, "Key": key}} for key in keys]}
        try:
            found = self._transacted("TransactGetItems", asked, deadline)
        except _Cancelled as cancelled:
            raise AFTER_ALL[cancelled.verdict].to_error() from None
        return [each.get("Item") for each in found["Responses"]]

    def get_each(self, keys: Sequence[Item]) -> Iterator[Item]:
        """Those of the items that there are, each as it is now, in any order."""
        for start in range(0, len(keys), _MAX_KEYS):
            left = list(keys[start : start + _MAX_KEYS])
            for pause in self._pauses():
                asked = {"RequestItems": {self._name: {"Keys": left, "ConsistentRead": True}}}
                found = self._call("BatchGetItem", asked)
                yield from found["Responses"].get(self._name, ())
                left = found.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
                if not left:
                    break
                self._sleep(pause)
            else:
                raise AFTER_ALL[Verdict.THROTTLED].to_error()

    def query(self, partition: str, *, after: str | None = None, page: int | None = None) -> Iterator[Item]:
        """The items of a partition, each as it is now, in order of their sort keys.

        Args:
            partition: The partition.
            after: The sort key behind which they begin.
            page: How many are asked for at once; None: as many as DynamoDB gives.
        """
        condition, names = "#partition = :partition", {"#partition": PARTITION_KEY}
        values = {":partition": {"S": partition}}
        if after is not None:
            condition += " AND #sort > :after"
            names["#sort"], values[":after"] = SORT_KEY, {"S": after}
        asked = {
            "TableName": self._name,
            "ConsistentRead": True,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        if page is not None:
            asked["Limit"] = page
        while True:
            found = self._call("Query", asked)
            yield from found["Items"]
            if not found.get("LastEvaluatedKey"):
                return
            asked["ExclusiveStartKey"] = found["LastEvaluatedKey"]

    def put(self, item: Item) -> None:
        """Writes an item, whether it is there or not."""
        asked = {"TableName": self._name, "Item": item}
        self._call("PutItem", asked)

    def commit(self, actions: Sequence[Action], deadline: Deadline | None = None) -> None:
        """Does all the actions durably, or none.

        A request whose answer is lost is sent again with its token, to which DynamoDB answers as it did to the first.

        Raises:
            StaleReading: A condition does not hold, or other transactions did not cease to meet this one.
            DeadlineExceeded: The deadline was spent before anything was sent.
            EngineUnavailable: DynamoDB does not answer; all may have been done, or nothing.
        """
        asked = {
            "TransactItems": [{kind: {"TableName": self._name, **members}} for kind, members in actions],
            "ClientRequestToken": str(uuid.uuid4()),
        }
        try:
            self._transacted("TransactWriteItems", asked, deadline)
        except _Cancelled as cancelled:
            if cancelled.verdict in {Verdict.STALE, Verdict.CONFLICT}:
                raise StaleReading from None
            raise AFTER_ALL[cancelled.verdict].to_error() from None

    def describe(self) -> _Parameters | None:
        """What DynamoDB says of the table; None when there is none."""
        with suppress(_Expected):
            asked = {"TableName": self._name}
            found: _Parameters = self._call("DescribeTable", asked, expected="ResourceNotFoundException")["Table"]
            return found
        return None

    def make(self, settings: _Parameters) -> bool:
        """Has the table made; tells whether it did, rather than another process."""
        with suppress(_Expected):
            self._call("CreateTable", {"TableName": self._name, **settings}, expected="ResourceInUseException")
            return True
        return False

    def keep_backups(self) -> bool:
        """Turns on backups to any moment of the last weeks; tells whether the table was ready for it.

        Raises:
            EngineMisconfigured: What answers has no such backups.
        """
        asked = {"TableName": self._name, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
        with suppress(_Expected):
            self._call("UpdateContinuousBackups", asked, expected="ContinuousBackupsUnavailableException")
            return True
        return False

    def close(self) -> None:
        """Closes the connections."""
        self._close()

    def _get_item(self, key: Item, deadline: Deadline | None = None, *, expected: str = "") -> _Answer:
        asked = {"TableName": self._name, "Key": key, "ConsistentRead": True}
        return self._call("GetItem", asked, deadline, expected=expected)

    def _transacted(self, operation: str, asked: _Parameters, deadline: Deadline | None) -> _Answer:
        """Makes a transaction, and again where it was cancelled for a reason that may pass.

        Raises:
            _Cancelled: It was cancelled for the last time.
        """
        limit = self._limit(deadline)
        *pauses, _last = self._pauses()
        for pause in pauses:
            try:
                return self._call(operation, asked, deadline, limit=limit)
            except _Cancelled as cancelled:
                if cancelled.verdict not in AGAIN or pause >= limit.remaining():
                    raise
            self._sleep(pause)
        return self._call(operation, asked, deadline, limit=limit)

    def _call(
        self,
        operation: str,
        asked: _Parameters,
        deadline: Deadline | None = None,
        *,
        limit: Deadline | None = None,
        expected: str = "",
    ) -> _Answer:
        call = UpstreamCall(operation, limit or self._limit(deadline))
        token = CURRENT_UPSTREAM_CALL.set(call)
        try:
            answered: _Answer = self._methods[operation](**asked)
        except Exception as error:  # noqa: BLE001 - the tables sort what boto3 raises
            if expected and error_code(error) == expected:
                raise _Expected from None
            raise _cancelled(error) or _known(error, call, deadline) from None
        finally:
            CURRENT_UPSTREAM_CALL.reset(token)
        _check_source(answered)
        return answered

    def _limit(self, deadline: Deadline | None) -> Deadline:
        expires_at = self._clock.monotonic() + self._timeout
        return Deadline(self._clock, expires_at if deadline is None else min(expires_at, deadline.expires_at))

    @staticmethod
    def _pauses() -> Iterator[float]:
        """Pauses by chance, so that what met once does not meet again."""
        longest = (min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) for attempt in range(_ATTEMPTS))
        return (random.uniform(0, each) for each in longest)  # noqa: S311 - no secret


class _Expected(Exception):
    """Raised when DynamoDB answers with the code that its caller has a use for."""


class _Cancelled(Exception):
    """Raised when DynamoDB cancels a transaction, which has changed nothing then."""

    def __init__(self, found: Verdict) -> None:
        super().__init__(found.value)
        self.verdict = found


def _check_source(answered: _Answer) -> None:
    """Makes sure that an answer is DynamoDB's.

    botocore takes whatever is no JSON for an answer without members, which would say that an item is not there.

    Raises:
        EngineMisconfigured: It is not.
    """
    metadata = answered["ResponseMetadata"]
    is_json = metadata["HTTPHeaders"].get("content-type", "").startswith(_CONTENT_TYPE)
    if not (is_json and metadata.get("RequestId")):
        raise ROWS.not_service.to_error()


def _cancelled(error: Exception) -> _Cancelled | None:
    """The verdict on a transaction, if it was one that was cancelled for a reason that is known."""
    found = verdict(cancellation_reasons(error))
    return None if found is None else _Cancelled(found)


def _known(error: Exception, call: UpstreamCall, deadline: Deadline | None) -> Exception:
    """What a failure is to the local engine; the error itself if it is a defect of ours."""
    if not call.deadline.remaining():
        # Whatever went wrong, want of time may have been the cause.
        if deadline is not None and not deadline.remaining() and not call.was_sent:
            return DeadlineExceeded()
        return EngineUnavailable("The identity store did not answer in time.")
    fault = FAULTS.row(error)
    return error if fault is None else fault.to_error()
