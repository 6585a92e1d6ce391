"""One token's file, step by step, with a clock that the test moves."""

import json
import logging
import shutil
from pathlib import Path

import pytest
from tests.clients.python.agent.conftest import LIFE, MakeKeeper
from tests.clients.python.agent.settings import USER
from tests.fakes.clock import FakeClock

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest
from tokend_client import ErrorReason
from tokend_client.agent.measures import Measures
from tokend_client.testing import Failure, FakeTokendServer


def logins(server: FakeTokendServer) -> dict[str, str]:
    message = server.requests[-1]
    assert isinstance(message, GetOpenIdTokenForDeveloperIdentityRequest)
    return dict(message.logins)


def content(directory: Path) -> str:
    return (directory / "token").read_text(encoding="ascii")


def test_the_file_holds_the_token_and_nothing_else(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer
) -> None:
    make_keeper().step()
    assert content(directory).count(".") == 2
    assert content(directory) == content(directory).strip()
    assert len(server.requests) == 1


def test_a_json_file_has_the_identity_and_times(make_keeper: MakeKeeper, directory: Path) -> None:
    keeper = make_keeper(format="json")
    keeper.step()
    document = json.loads(content(directory))
    assert document.keys() == {"identity_id", "token", "issue_time", "expire_time", "refresh_time"}
    assert document["issue_time"] < document["refresh_time"] < document["expire_time"]
    assert keeper.status().state == "valid"


def test_a_wrong_clock_is_reported(make_keeper: MakeKeeper, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    make_keeper(on=FakeClock(now=clock.now() + 3600)).step()
    assert "The clock of this machine is 3600 s ahead of the token service's" in caplog.text


def test_a_token_is_replaced_a_third_into_its_life(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer, clock: FakeClock
) -> None:
    keeper = make_keeper()
    keeper.step()
    first = content(directory)
    clock.advance(LIFE / 3 - 20)
    assert 15 < keeper.step() + 10 <= 20, "a check every ten seconds"
    assert (content(directory), len(server.requests)) == (first, 1)
    clock.advance(20)
    keeper.step()
    assert content(directory) != first
    assert len(server.requests) == 2


def test_an_outage_leaves_the_token_until_it_has_expired(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer, clock: FakeClock
) -> None:
    keeper = make_keeper()
    keeper.step()
    first = content(directory)
    server.fail(Failure(ErrorReason.ENGINE_UNAVAILABLE))
    clock.advance(LIFE - 1)
    assert keeper.step() <= 1
    status = keeper.status()
    assert (status.state, content(directory)) == ("valid", first)
    assert "ENGINE_UNAVAILABLE" in (status.problem or "")
    clock.advance(2)
    keeper.step()
    assert (keeper.status().state, content(directory)) == ("expired", first)
    server.recover()
    clock.advance(60)
    keeper.step()
    assert (keeper.status().state, keeper.status().problem) == ("valid", None)
    assert content(directory) != first


@pytest.mark.parametrize("layout", ["file", "projected"])
def test_an_expired_file_is_removed_where_that_is_set(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer, clock: FakeClock, layout: str
) -> None:
    keeper = make_keeper(layout=layout, expired="remove")
    keeper.step()
    server.fail(Failure(ErrorReason.ENGINE_UNAVAILABLE))
    clock.advance(LIFE - 1)
    keeper.step()
    assert content(directory)
    clock.advance(2)
    keeper.step()
    assert [path.name for path in directory.iterdir()] == [".token.lock"]
    assert keeper.status().state == "missing"
    server.recover()
    clock.advance(60)
    keeper.step()
    assert content(directory)


def test_a_rejected_user_is_reported_without_its_login(
    make_keeper: MakeKeeper, server: FakeTokendServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    keeper = make_keeper()
    with caplog.at_level(logging.DEBUG):
        keeper.step()
    status = keeper.status()
    assert status.state == "missing"
    assert "NOT_AUTHORIZED" in (status.problem or "")
    assert "orders: no new token" in caplog.text
    assert USER not in caplog.text + repr(status)


def test_a_problem_is_logged_once_and_its_end_too(
    make_keeper: MakeKeeper, server: FakeTokendServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    keeper = make_keeper()
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            keeper.step()
            clock.advance(10)
        server.recover()
        keeper.step()
    texts = [record.getMessage() for record in caplog.records if record.name == "tokend_client.agent"]
    assert [text.split(":")[1].strip().split(";")[0] for text in texts] == [
        "no new token",
        "written",
        "recovered",
    ]


def test_no_token_reaches_the_log(
    make_keeper: MakeKeeper, directory: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = make_keeper()
    with caplog.at_level(logging.DEBUG):
        keeper.step()
        token = content(directory)
        (directory / "token").unlink()
        clock.advance(LIFE)
        keeper.step()
    assert caplog.text
    for part in token.split("."):
        assert part not in caplog.text


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_a_step_of_the_wall_clock_ends_with_a_valid_token(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer, clock: FakeClock, step: float
) -> None:
    keeper = make_keeper()
    keeper.step()
    clock.move_wall_clock(step)
    keeper.step()
    assert keeper.status().state == "valid"
    assert len(server.requests) == (1 if step < 0 else 2)
    clock.advance(LIFE / 3)
    keeper.step()
    assert keeper.status().state == "valid"
    assert len(server.requests) == (2 if step < 0 else 3), "a clock that was set back makes no token younger"
    assert content(directory)


def test_a_new_agent_continues_from_the_previous_ones_files(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer, clock: FakeClock
) -> None:
    before = make_keeper()
    before.step()
    before.close()
    server.fail(Failure(ErrorReason.ENGINE_UNAVAILABLE))
    keeper = make_keeper(expired="remove")
    keeper.step()
    status = keeper.status()
    assert (status.state, status.is_from_here) == ("valid", False)
    clock.advance(LIFE + 1)
    keeper.step()
    assert not (directory / "token").exists()


@pytest.mark.parametrize("found", ["", "no token", '{"token": 5}', "a.b.c", "{", "a.eyJleHAiOjFlOTk5fQ.c"])
def test_an_invalid_token_in_the_file_is_replaced(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer, clock: FakeClock, found: str
) -> None:
    (directory / "token").write_text(found, encoding="ascii")
    server.fail_next(Failure(ErrorReason.NOT_AUTHORIZED))
    keeper = make_keeper(expired="remove")
    keeper.step()
    assert (keeper.status().state, content(directory)) == ("missing", found)
    clock.advance(10)
    keeper.step()
    assert keeper.status().state == "valid"
    assert content(directory) != found


@pytest.mark.parametrize("change", ["unlink", "overwrite", "chmod", "replace"])
def test_changes_to_the_file_by_others_are_repaired_without_a_call(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer, change: str
) -> None:
    keeper = make_keeper()
    keeper.step()
    path, token = directory / "token", content(directory)
    match change:
        case "unlink":
            path.unlink()
        case "overwrite":
            path.write_text("mine", encoding="ascii")
        case "chmod":
            path.chmod(0o666)
        case "replace":
            shutil.copy(path, directory / "other")
            (directory / "other").replace(path)
    keeper.step()
    assert (content(directory), path.stat().st_mode & 0o777) == (token, 0o600)
    assert len(server.requests) == 1


def test_a_directory_that_was_deleted_gets_its_file_when_it_is_back(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer
) -> None:
    keeper = make_keeper()
    keeper.step()
    shutil.rmtree(directory)
    assert keeper.step() <= 1
    status = keeper.status()
    assert status.state == "missing"
    assert "create the directory" in (status.problem or "")
    assert not directory.exists()
    directory.mkdir()
    keeper.step()
    assert (keeper.status().state, keeper.status().problem) == ("valid", None)
    assert content(directory)
    assert len(server.requests) == 1


def test_two_agents_do_not_write_one_file(make_keeper: MakeKeeper, server: FakeTokendServer, clock: FakeClock) -> None:
    one, other = make_keeper(), make_keeper()
    one.step()
    assert other.step() <= 1
    status = other.status()
    assert "another process keeps this file" in (status.problem or "")
    assert (status.state, status.is_from_here) == ("valid", False), "programs find a valid token"
    assert len(server.requests) == 1
    one.close()
    clock.advance(1)
    other.step()
    assert (other.status().problem, other.status().is_from_here) == (None, True)
    assert len(server.requests) == 2


def test_a_login_in_a_file_is_read_for_each_request(
    make_keeper: MakeKeeper, tmp_path: Path, server: FakeTokendServer, clock: FakeClock
) -> None:
    login = tmp_path / "login"
    provider = server.developer_provider_name
    keeper = make_keeper(logins={}, login_files={provider: str(login)})
    keeper.step()
    assert "No such file" in (keeper.status().problem or "")
    for user in ("bob", "carol"):
        login.write_text(f"{user}\n", encoding="ascii")
        clock.advance(LIFE / 2)
        keeper.step()
        assert logins(server)[provider] == user
    login.write_bytes(b"\xff")
    clock.advance(LIFE / 2)
    keeper.step()
    assert "is not UTF-8" in (keeper.status().problem or "")
    assert len(server.requests) == 2


def test_a_wrong_clock_removes_no_token_that_is_valid(
    make_keeper: MakeKeeper, directory: Path, clock: FakeClock, server: FakeTokendServer
) -> None:
    """The machine's clock is an hour ahead. If a write fails, the previous token stays, by its age."""
    ahead = FakeClock(clock.now() + 3600, clock.monotonic())
    keeper = make_keeper(on=ahead, expired="remove")
    keeper.step()
    assert keeper.status().state == "valid"
    written = content(directory)
    for each in (clock, ahead):
        each.advance(LIFE / 2)
    (directory / ".token.unfinished").mkdir()
    keeper.step()
    assert len(server.requests) == 2
    assert "a directory is in the way" in (keeper.status().problem or "")
    assert (keeper.status().state, content(directory)) == ("valid", written)


def test_refreshes_and_writes_are_counted(
    make_keeper: MakeKeeper, directory: Path, server: FakeTokendServer, clock: FakeClock
) -> None:
    measures = Measures(["orders"])
    keeper = make_keeper(measures)
    keeper.step()
    server.fail_next(Failure(ErrorReason.TOO_MANY_REQUESTS))
    clock.advance(LIFE / 3)
    keeper.step()
    (directory / "token").unlink()
    (directory / "token").mkdir()
    keeper.step()
    page = measures.page([("orders", True, keeper.status().expire_time)]).decode()
    counted = {line for line in page.splitlines() if line.startswith("tokend_agent_") and "_total{" in line}
    assert counted == {
        'tokend_agent_refreshes_total{outcome="OK",token="orders"} 1.0',
        'tokend_agent_refreshes_total{outcome="TOO_MANY_REQUESTS",token="orders"} 1.0',
        'tokend_agent_writes_total{outcome="OK",token="orders"} 1.0',
        'tokend_agent_writes_total{outcome="EISDIR",token="orders"} 1.0',
    }
    assert 'tokend_agent_token_valid{token="orders"} 1.0' in page


def test_temporary_files_of_a_killed_agent_are_removed(make_keeper: MakeKeeper, directory: Path) -> None:
    (directory / ".token.unfinished").write_text("half a tok", encoding="ascii")
    make_keeper().step()
    assert sorted(path.name for path in directory.iterdir()) == [".token.lock", "token"]


def test_a_problem_of_another_kind_is_a_warning_of_its_own(
    make_keeper: MakeKeeper,
    directory: Path,
    server: FakeTokendServer,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keeper = make_keeper()
    keeper.step()
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    clock.advance(LIFE / 2)
    keeper.step()
    (directory / "token").unlink()
    (directory / "token").mkdir()
    keeper.step()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("no new token" in each for each in warnings)
    assert any("a directory is in the way" in each for each in warnings)
