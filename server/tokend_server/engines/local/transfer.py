"""Exports a pool's identities as lines of JSON, and imports them into a store with their ids."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, Store
from tokend_server.errors import LimitExceeded
from tokend_server.model import MAX_LINKED_LOGINS, MAX_LOGIN_LENGTH, Identity, Login, NumericDate, Secret

#: The number of identities that are read at once, and created in one commit.
_PAGE, _BATCH = 500, 20

#: The maximum number of lines with problems that are named; the others are counted.
MAX_NAMED = 20

_Id = Annotated[str, Field(max_length=55, pattern=r"^[A-Za-z0-9_-]+:[0-9a-f-]+$")]


def _in_utc(date: datetime) -> datetime:
    try:
        return date.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError(
            "date", "Input should be of the years 1 to 9999 in UTC, as all dates are shown"
        ) from None


_Date = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class LoginLine(_Line):
    """A login in a line."""

    ProviderName: str = Field(min_length=1, max_length=128)
    UserIdentifier: str = Field(min_length=1, max_length=MAX_LOGIN_LENGTH)


class IdentityLine(_Line):
    """A line: one identity."""

    IdentityId: _Id
    IdentityPoolId: _Id
    CreationDate: _Date
    LastModifiedDate: _Date
    Disabled: bool = False
    Logins: tuple[LoginLine, ...] = Field((), max_length=MAX_LINKED_LOGINS)


@dataclass
class Imported:
    """The result of an import.

    Attributes:
        created: The number of created identities.
        present: The number of identities that existed with the contents of the line.
        problems: The lines that were not imported, with the reasons.
    """

    created: int = 0
    present: int = 0
    problems: list[str] = field(default_factory=list)


def export_lines(store: Store, identity_pool_id: str) -> Iterator[str]:
    """Yields the lines of a pool, ordered by id, in ASCII; the logins are not hidden."""
    after = None
    while page := store.identities(identity_pool_id, max_results=_PAGE, after=after, hide_disabled=False):
        yield from map(_line, page)
        after = page[-1].identity_id


def problems(lines: Iterable[bytes], identity_pool_id: str, provider_names: frozenset[str]) -> Iterator[str]:
    """Yields the problems that prevent the import of lines, without their values."""
    for number, line in enumerate(lines, start=1):
        try:
            identity = _identity(line)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_input=False, include_context=False):
                yield f"line {number}: {'.'.join(map(str, each['loc'])) or 'the line'}: {each['msg']}"
            continue
        if identity.identity_pool_id != identity_pool_id:
            yield f"line {number}: IdentityPoolId: is another pool"
        if unknown := sorted({login.provider_name for login in identity.logins} - provider_names):
            yield f"line {number}: Logins: {', '.join(unknown)}: not a provider of the pool"


def abbreviated(texts: Sequence[str]) -> Iterator[str]:
    """Yields the first of many texts, and the number of the others."""
    yield from texts[:MAX_NAMED]
    if len(texts) > MAX_NAMED:
        yield f"and {len(texts) - MAX_NAMED} more"


def read_lines(lines: Iterable[bytes]) -> Iterator[tuple[str, Identity]]:
    """Yields the identities of lines without problems, each with its line number."""
    for number, line in enumerate(lines, start=1):
        yield f"line {number}", _identity(line)


class Import:
    """An import into a store.

    Args:
        store: The store.
        clock: The clock.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._deadline = Deadline(clock)
        self._done = Imported()

    def is_held(self, identity_pool_id: str, identity_id: str, last_modified_date: NumericDate) -> bool:
        """Returns whether an identity exists unchanged since a date, and so need not be read, and counts it.

        Raises:
            EngineUnavailable: The store does not answer.
        """
        held = self._store.read(identity_pool_id, (), identity_id).named
        is_same = held is not None and held.last_modified_date == last_modified_date
        self._done.present += is_same
        return is_same

    def run(self, identities: Iterable[tuple[str, Identity]], progress: Callable[[int], None]) -> Imported:
        """Creates identities; existing ones are not changed.

        Args:
            identities: The source of each identity, as problems name it, and the valid identity.
            progress: Called at intervals with the number of identities that have been processed.

        Raises:
            EngineUnavailable: The store does not answer; the import may be repeated.
        """
        batch: list[tuple[str, Identity]] = []
        for number, each in enumerate(identities, start=1):
            batch.append(each)
            if len(batch) == _BATCH:
                self._create(batch)
                batch.clear()
            if number % _PAGE == 0:
                progress(number)
        self._create(batch)
        return self._done

    def _create(self, batch: Sequence[tuple[str, Identity]]) -> None:
        if not batch:
            return
        try:
            self._commit(*(identity for _place, identity in batch))
        except (StaleReading, LimitExceeded):
            for place, identity in batch:
                self._create_one(place, identity)

    def _create_one(self, place: str, identity: Identity) -> None:
        try:
            self._commit(identity)
        except LimitExceeded as error:
            self._done.problems.append(f"{place}: {error.text}")
        except StaleReading:
            reading = self._store.read(identity.identity_pool_id, tuple(identity.logins), identity.identity_id)
            if reading.named is not None and _line(reading.named) == _line(identity):
                self._done.present += 1
            elif reading.named is not None:
                self._done.problems.append(f"{place}: the store has the identity with other contents")
            elif self._store.find(identity.identity_id):
                self._done.problems.append(f"{place}: the store has the identity in another pool")
            else:
                self._done.problems.append(f"{place}: a login is linked to another identity")

    def _commit(self, *created: Identity) -> None:
        self._store.commit(*(Change(None, each) for each in created), deadline=self._deadline)
        self._done.created += len(created)


def _line(identity: Identity) -> str:
    logins = sorted((login.provider_name, login.user_identifier.reveal()) for login in identity.logins)
    return json.dumps(
        {
            "IdentityId": identity.identity_id,
            "IdentityPoolId": identity.identity_pool_id,
            "CreationDate": _date(identity.creation_date),
            "LastModifiedDate": _date(identity.last_modified_date),
            "Disabled": identity.disabled,
            "Logins": [{"ProviderName": provider, "UserIdentifier": user} for provider, user in logins],
        }
    )


def _date(date: NumericDate) -> str:
    return datetime.fromtimestamp(date, UTC).isoformat()


def _identity(line: bytes) -> Identity:
    read = IdentityLine.model_validate_json(line)
    return Identity(
        identity_id=read.IdentityId,
        identity_pool_id=read.IdentityPoolId,
        creation_date=int(read.CreationDate.timestamp()),
        last_modified_date=int(read.LastModifiedDate.timestamp()),
        logins=frozenset(Login(each.ProviderName, Secret(each.UserIdentifier)) for each in read.Logins),
        disabled=read.Disabled,
    )
