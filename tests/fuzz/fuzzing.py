"""Feeds targets, and stores the inputs that made one fail."""

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from tests.fuzz.choices import Choices, Json
from tests.fuzz.series import check_series, label_values
from tests.fuzz.service import Service, running
from tests.fuzz.targets import TARGETS

#: Inputs that failed once, some only before a protection existed; one per file, in a folder for each target.
CORPUS = Path(__file__).parent / "corpus"

#: The number of inputs for one service: its store grows, and its callers' limits are used up.
_FOR_ONE_SERVICE = 20_000


#: The maximum number of bytes for an input.
_MOST_BYTES = 400


def inputs_of(seed: int) -> Iterator[bytes]:
    """Yields random bytes for inputs without end; the same for the same seed."""
    source = random.Random(seed)
    while True:
        yield source.randbytes(source.randint(0, _MOST_BYTES))


class Failed(Exception):
    """Raised when an input makes a target fail; the cause is the failure.

    Attributes:
        given: The minimized input.
    """

    def __init__(self, given: Json) -> None:
        super().__init__(given)
        self.given = given


class Fuzz:
    """Feeds one target; used as a context manager.

    Args:
        target: Its name.

    Attributes:
        count: The number of inputs so far.
    """

    def __init__(self, target: str) -> None:
        self._target = TARGETS[target]
        self._undo = ExitStack()
        self.count = 0

    def __enter__(self) -> Self:
        self._service = self._undo.enter_context(fresh_service())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.__exit__(kind, error, trace)

    def feed(self, data: bytes) -> None:
        """Passes the target the input that is derived from the bytes.

        Raises:
            Failed: It fails.
        """
        if self.count and self.count % _FOR_ONE_SERVICE == 0:
            self._undo.close()
            self._service = self._undo.enter_context(fresh_service())
        self.count += 1
        try:
            self._run(data)
        except Exception as error:
            raise Failed(self._smallest(data)) from error

    def _run(self, data: bytes) -> None:
        self._target.run(self._service, self._target.make(Choices(data)))

    def _smallest(self, data: bytes) -> Json:
        size = len(data)
        while size := size // 2:
            at = 0
            while at < len(data):
                before, cut, after = data[:at], data[at : at + size], data[at + size :]
                if self._fails(before + after):
                    data = before + after
                    continue
                if any(cut) and self._fails(before + bytes(len(cut)) + after):
                    data = before + bytes(len(cut)) + after
                at += size
        return self._target.make(Choices(data))

    def _fails(self, data: bytes) -> bool:
        try:
            self._run(data)
        except Exception:  # noqa: BLE001 - whatever it is
            return True
        return False


@contextmanager
def fresh_service() -> Iterator[Service]:
    """Runs a service on a temporary store, and checks at the end that no caller's text has become a metric's label."""
    with TemporaryDirectory(prefix="tokend-fuzz-") as directory, running(Path(directory)) as service:
        before = label_values(service.metrics)
        yield service
        check_series(service.metrics, before)


def keep(target: str, given: Json) -> Path:
    """Stores an input that has failed, so that every test run replays it."""
    document = json.dumps(given, indent=1)
    path = CORPUS / target / f"{hashlib.sha256(document.encode()).hexdigest()[:12]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{document}\n", encoding="ascii")
    return path


def kept() -> list[tuple[str, Path]]:
    """Returns all stored inputs, with their targets."""
    return [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*.json"))]


def replay(service: Service, target: str, path: Path) -> None:
    """Passes a stored input to a target."""
    TARGETS[target].run(service, json.loads(path.read_text(encoding="ascii")))
