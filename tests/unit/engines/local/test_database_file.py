"""The database file is moved, deleted or replaced under a running engine."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.local_engine import LocalEngineUnderTest

from tokend_server.engines.local.stores.sqlite import open_store
from tokend_server.errors import EngineUnavailable


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "tokend.db"


def moved(database: Path) -> None:
    database.rename(database.with_suffix(".aside"))


def deleted(database: Path) -> None:
    database.unlink()


def replaced_by_a_copy(database: Path) -> None:
    copy = database.with_suffix(".copy")
    shutil.copyfile(database, copy)
    copy.replace(database)


def replaced_by_a_new_one(database: Path) -> None:
    for file in database.parent.glob("tokend.db*"):
        file.unlink()
    store = open_store(database)
    store.migrate()
    store.close()


def directory_moved(database: Path) -> None:
    database.parent.rename(database.parent.with_suffix(".aside"))


def log_deleted(database: Path) -> None:
    database.with_name("tokend.db-wal").unlink()


REPLACED = [moved, deleted, replaced_by_a_copy, replaced_by_a_new_one, directory_moved]


@pytest.fixture
def calls(local: LocalEngineUnderTest) -> dict[str, Callable[[], object]]:
    identity_id = local.identity_of("known")
    local.identity_of("other")
    return {
        "a token of a known user": lambda: local.issue("known"),
        "a lookup": lambda: local.users_of(identity_id),
        "a token of a new user": lambda: local.issue("new"),
        "a merge": lambda: local.merge("other", "known"),
        "an unlink": lambda: local.unlink(identity_id, "known"),
        "a check": local.backend.check,
    }


@pytest.mark.parametrize("change", REPLACED)
def test_no_call_is_answered_from_a_file_that_others_do_not_find(
    calls: dict[str, Callable[[], object]], database: Path, change: Callable[[Path], None]
) -> None:
    change(database)
    for name, call in calls.items():
        with pytest.raises(EngineUnavailable, match=r"identity store's file (is gone|was replaced)") as caught:
            call()
        assert caught.value.advice, name


def test_nothing_is_written_into_a_log_that_others_do_not_find(
    calls: dict[str, Callable[[], object]], database: Path
) -> None:
    log_deleted(database)
    for name in ("a token of a new user", "a merge", "an unlink", "a check"):
        with pytest.raises(EngineUnavailable, match="identity store's file is gone"):
            calls[name]()


@pytest.mark.parametrize("moment", range(3))
def test_what_is_lost_in_the_middle_of_a_commit_is_not_acknowledged(
    local: LocalEngineUnderTest, database: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = local.store._medium.check_with_log  # noqa: SLF001 - a moment that only the store knows
    checks = iter(range(3))

    def checked() -> None:
        if next(checks) == moment:
            moved(database)
        check()

    monkeypatch.setattr(local.store._medium, "check_with_log", checked)  # noqa: SLF001 - as above
    with pytest.raises(EngineUnavailable, match="is gone"):
        local.issue("new")


def test_a_link_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    one, other, link = tmp_path / "one", tmp_path / "other", tmp_path / "link"
    one.mkdir()
    other.mkdir()
    link.symlink_to(one)
    local = LocalEngineUnderTest(link)
    local.issue("known")
    shutil.copytree(one, other, dirs_exist_ok=True)
    link.unlink()
    link.symlink_to(other)
    with pytest.raises(EngineUnavailable, match="was replaced"):
        local.issue("known")
    local.close()


def test_the_engine_serves_again_when_the_file_is_back(
    local: LocalEngineUnderTest, calls: dict[str, Callable[[], object]], database: Path
) -> None:
    identity_id = local.identity_of("known")
    moved(database)
    with pytest.raises(EngineUnavailable):
        local.issue("known")
    database.with_suffix(".aside").rename(database)
    assert local.identity_of("known") == identity_id
    for call in calls.values():
        call()
