"""Keeps one token's file fresh, step by step."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tokend_client.agent import stored_token
from tokend_client.agent.configuration import TokenSettings
from tokend_client.agent.formats import FORMATS
from tokend_client.agent.measures import OK, Measures
from tokend_client.agent.requests import RequestProblem
from tokend_client.agent.token_file import FileProblem, HeldByAnother, TokenFile
from tokend_client.clock import Clock
from tokend_client.errors import Closed, TokendError, cannot_refresh
from tokend_client.model import Token
from tokend_client.source_state import SourceState

#: Seconds between checks of a valid file: how long a deletion, or a step of the wall clock, may stay unnoticed.
_CHECK_INTERVAL = 10.0

#: Seconds between retries of a failed operation, and between checks of a back-off.
_RETRY_INTERVAL = 1.0

_MIN_PAUSE = 0.05

_LOG = logging.getLogger("tokend_client.agent")


@dataclass(frozen=True, slots=True)
class Status:
    """The status of one token.

    Attributes:
        name: Its name.
        state: The state of the file's token: `valid`, `expired` or `missing`.
        expire_time: When the token in the file expires.
        problem: The current failure.
        is_from_here: Whether this process has written the token in the file.
    """

    name: str
    state: str
    expire_time: datetime | None
    problem: str | None
    is_from_here: bool

    @property
    def is_valid(self) -> bool:
        """Whether the file contains a usable token."""
        return self.state == "valid"


class Keeper:
    """Keeps one token's file fresh. `step` is for one thread; `status` for any.

    Args:
        settings: The token.
        file: Its file.
        fetch: Calls tokend for a token; raises `TokendError` or `RequestProblem`.
        source_state: The caching policy's state: decides when to fetch.
        clock: The clocks.
        measures: The metrics.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what one token has
        self,
        settings: TokenSettings,
        file: TokenFile,
        fetch: Callable[[], Token],
        source_state: SourceState,
        clock: Clock,
        measures: Measures,
    ) -> None:
        self._settings = settings
        self._log = logging.LoggerAdapter(_LOG, {"token": settings.name})
        self._file = file
        self._fetch = fetch
        self._source_state = source_state
        self._clock = clock
        self._measures = measures
        self._on_disk: stored_token.StoredToken | None = None
        self._fetched: stored_token.StoredToken | None = None
        self._written: Token | None = None
        self._fetch_problem: str | None = None
        self._file_problem: str | None = None
        self._logged_problems: tuple[str | None, ...] = (None, None)
        self._logged_expired = False

    @property
    def name(self) -> str:
        """The token's name."""
        return self._settings.name

    def status(self) -> Status:
        """The current status."""
        on_disk = self._on_disk
        state = "missing" if on_disk is None else "valid" if on_disk.remaining(self._clock) > 0 else "expired"
        problem = "; ".join(filter(None, (self._fetch_problem, self._file_problem))) or None
        expire_time = on_disk.expire_time if on_disk else None
        return Status(self.name, state, expire_time, problem, self._written is not None)

    def step(self) -> float:
        """Performs the actions that are due.

        Returns:
            The maximum number of seconds until the next step.
        """
        file_problem = None
        try:
            self._work()
        except HeldByAnother:
            file_problem = f"{self._settings.file}: another process keeps this file"
        except FileProblem as problem:
            file_problem = str(problem)
        self._file_problem = file_problem
        self._log_changes()
        return self._pause()

    def close(self) -> None:
        """Releases the file, which stays, to other processes."""
        self._source_state.close(Closed())
        self._file.release()

    def _work(self) -> None:
        try:
            if self._file.claim():
                self._read()
        except (HeldByAnother, FileProblem):
            self._read_if_changed()
            raise
        self._refresh()
        try:
            self._write()
        finally:
            self._remove_expired()

    def _read(self) -> None:
        content = self._file.read()
        self._on_disk = None if content is None else stored_token.from_file(content, self._clock)
        self._written = None

    def _read_if_changed(self) -> None:
        """Reports the token in a file that this process cannot write."""
        try:
            if not self._file.is_as_written:
                self._read()
        except FileProblem:
            self._on_disk = None

    def _refresh(self) -> None:
        if not self._source_state.ask().starts_refresh:
            return
        outcome: Token | TokendError
        try:
            outcome = self._fetch()
        except TokendError as error:
            outcome = error
        except RequestProblem as problem:
            outcome = problem.as_error()
        except Exception as error:  # noqa: BLE001 - whatever it is, there has to be a next refresh
            outcome = cannot_refresh(error)
        self._source_state.settle(outcome)
        self._source_state.flush_log()
        self._measures.refreshed(self.name, outcome)
        self._fetch_problem = f"no new token: {outcome}" if isinstance(outcome, TokendError) else None
        if isinstance(outcome, Token):
            self._fetched = stored_token.from_service(outcome, self._clock)

    def _write(self) -> None:
        token = self._source_state.snapshot
        if token is None or self._fetched is None or self._fetched.remaining(self._clock) <= 0:
            self._check_removed()
            return
        if token is self._written and self._file.is_as_written:
            return
        if token is self._written:
            self._log.warning("%s: %s was changed or removed; writing it again", self.name, self._settings.file)
        try:
            self._file.write(FORMATS[self._settings.format](token))
        except FileProblem as problem:
            self._measures.written(self.name, problem.cause)
            self._read_if_changed()
            raise
        self._measures.written(self.name, OK)
        self._on_disk, self._written = self._fetched, token
        self._log.info(
            "%s: written; the token is valid until %s", self.name, token.expire_time.isoformat(timespec="seconds")
        )

    def _check_removed(self) -> None:
        """Detects that the file was removed while there is no token to write."""
        if self._on_disk is not None and self._file.read() is None:
            self._on_disk = None

    def _remove_expired(self) -> None:
        on_disk = self._on_disk
        if self._settings.expired == "remove" and on_disk is not None and on_disk.remaining(self._clock) <= 0:
            self._file.remove()
            self._on_disk = self._written = None
            self._log.error("%s: the token has expired, and its file was removed", self.name)

    def _log_changes(self) -> None:
        """Logs changes: the first problem of a kind is a warning."""
        problems = (self._fetch_problem, self._file_problem)
        for problem, before in zip(problems, self._logged_problems, strict=True):
            if problem and problem != before:
                self._log.log(logging.DEBUG if before else logging.WARNING, "%s: %s", self.name, problem)
        if any(self._logged_problems) and not any(problems):
            self._log.info("%s: recovered", self.name)
        is_expired = self.status().state == "expired"
        if is_expired and not self._logged_expired:
            self._log.error("%s: the token in %s has expired", self.name, self._settings.file)
        self._logged_problems, self._logged_expired = problems, is_expired

    def _pause(self) -> float:
        pauses = [_CHECK_INTERVAL]
        if self._fetch_problem or self._file_problem:
            pauses.append(_RETRY_INTERVAL)
        else:
            pauses.append(self._source_state.fresh_for)
        if self._on_disk is not None and (remaining := self._on_disk.remaining(self._clock)) > 0:
            pauses.append(remaining)
        return max(min(pauses), _MIN_PAUSE)
