"""Identities as JSON lines: export from a pool, and import with their ids."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.tokend import Ended, run

POOL = "eu-west-1:0a1b2c3d-0000-4000-8000-00000000000a"
PROVIDER = "login.example.test"

LINE: Mapping[str, Any] = {
    "IdentityId": "eu-west-1:0a",
    "IdentityPoolId": POOL,
    "CreationDate": "2026-01-02T03:04:05+00:00",
    "LastModifiedDate": "2026-01-02T03:04:06+00:00",
    "Disabled": False,
    "Logins": [{"ProviderName": PROVIDER, "UserIdentifier": "canary\u0000\u00fc"}],
}


def login(user: str, provider: str = PROVIDER) -> dict[str, str]:
    return {"ProviderName": provider, "UserIdentifier": user}


class Place:
    """A configuration, and commands on it."""

    def __init__(self, directory: Path, provider: str = PROVIDER) -> None:
        self._directory = directory
        self._config = directory / "tokend.toml"
        self._config.write_text(
            f'[store]\nurl = "sqlite:///{directory}/tokend.db"\n'
            f'[pools."{POOL}"]\ndeveloper_provider_name = "{provider}"\n',
            encoding="utf-8",
        )

    def run(self, command: str, *words: str) -> Ended:
        return run("identities", command, "--config", str(self._config), "--identity-pool-id", POOL, *words)

    def import_(self, *lines: Mapping[str, Any] | str) -> Ended:
        file = self._directory / "lines"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return self.run("import", str(file))

    def exported(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("export").stdout.splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_exported_identities_are_imported_with_their_ids(place: Place, tmp_path: Path) -> None:
    guest = {**LINE, "IdentityId": "eu-west-1:0b", "Logins": []}
    disabled = {**guest, "IdentityId": "eu-west-1:0c", "Disabled": True}
    done = place.import_(LINE, guest, disabled)
    assert (done.returncode, done.stdout) == (0, "identities: 3 created, 0 already present, 0 left out\n")
    assert place.exported() == [LINE, guest, disabled]
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    assert other.import_(*place.exported()).returncode == 0
    assert other.exported() == place.exported()


def test_names_of_one_character_are_imported(tmp_path: Path) -> None:
    line = {**LINE, "Logins": [login("u", "p")]}
    place = Place(tmp_path, provider="p")
    assert place.import_(line).returncode == 0
    assert place.exported() == [line]


def test_users_of_the_maximum_length_are_imported(place: Place) -> None:
    longest = {**LINE, "Logins": [login("\U0001f600" * 50_000)]}
    assert place.import_({**LINE, "Logins": [login("u" * 50_001)]}).returncode == 1
    done = place.import_(longest)
    assert done.returncode == 0, done.stderr
    assert place.exported() == [longest]


def test_a_repeated_import_creates_only_missing_identities(place: Place) -> None:
    lines = [{**LINE, "IdentityId": f"eu-west-1:{number:02x}", "Logins": [login(str(number))]} for number in range(50)]
    place.import_(*lines[10:30])
    again = place.import_(*lines)
    assert again.stdout == "identities: 30 created, 20 already present, 0 left out\n"
    assert place.exported() == lines


def test_conflicting_lines_are_skipped_and_named(place: Place) -> None:
    place.import_(LINE)
    other_contents = {**LINE, "Logins": [login("other")]}
    other_identity = {**LINE, "IdentityId": "eu-west-1:0f"}
    new = {**LINE, "IdentityId": "eu-west-1:0e", "Logins": []}
    done = place.import_(other_contents, other_identity, new, LINE)
    assert done.returncode == 1
    assert done.stdout == "identities: 1 created, 1 already present, 2 left out\n"
    assert "line 1: the store has the identity with other contents" in done.stderr
    assert "line 2: a login is linked to another identity" in done.stderr
    assert "canary" not in done.stderr
    assert place.exported() == [LINE, new]


def test_an_identity_in_another_pool_is_reported(place: Place, tmp_path: Path) -> None:
    place.import_(LINE)
    other, config = "eu-west-1:0b", tmp_path / "tokend.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(f'{text}[pools."{other}"]\ndeveloper_provider_name = "{PROVIDER}"\n', encoding="utf-8")
    (tmp_path / "moved").write_text(json.dumps({**LINE, "IdentityPoolId": other}), encoding="utf-8")
    done = run("identities", "import", "--config", str(config), "--identity-pool-id", other, str(tmp_path / "moved"))
    assert (done.returncode, done.stderr) == (1, "Error: line 1: the store has the identity in another pool\n")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2: the line: Invalid JSON"),
        ("", "line 2: the line: Invalid JSON"),
        ("[]", "line 2: the line: Input should be an object"),
        ({**LINE, "Colour": "canary"}, "line 2: Colour: Extra inputs are not permitted"),
        ({**LINE, "IdentityId": "canary"}, "line 2: IdentityId: String should match pattern"),
        ({**LINE, "IdentityPoolId": "eu-west-1:0b"}, "line 2: IdentityPoolId: is another pool"),
        ({**LINE, "CreationDate": "2026-01-02T03:04:05"}, "line 2: CreationDate: Input should have timezone info"),
        (
            {**LINE, "CreationDate": "0001-01-01T00:00:00+14:00"},
            "line 2: CreationDate: Input should be of the years 1 to 9999 in UTC, as all dates are shown",
        ),
        (
            {**LINE, "LastModifiedDate": "9999-12-31T23:59:59-12:00"},
            "line 2: LastModifiedDate: Input should be of the years 1 to 9999 in UTC, as all dates are shown",
        ),
        ({**LINE, "Logins": [login("")]}, "line 2: Logins.0.UserIdentifier: String should have at least 1 character"),
        ({**LINE, "Logins": [login("canary", "others")]}, "line 2: Logins: others: not a provider of the pool"),
        ({**LINE, "Logins": [login(str(each)) for each in range(21)]}, "line 2: Logins: Tuple should have at most 20"),
    ],
)
def test_nothing_is_imported_if_a_line_is_invalid(place: Place, line: Mapping[str, Any] | str, problem: str) -> None:
    done = place.import_({**LINE, "IdentityId": "eu-west-1:01", "Logins": []}, line)
    assert done.returncode == 1
    assert problem in done.stderr
    assert "canary" not in done.stderr
    assert place.exported() == []


def test_all_problems_are_named_at_once(place: Place) -> None:
    done = place.import_({**LINE, "Disabled": "perhaps", "Logins": 5}, "{", *["x"] * 30)
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines[1:4]] == ["line 1", "line 1", "line 2"]
    assert len(lines) == 21


def test_a_file_that_is_not_there_is_named(place: Place, tmp_path: Path) -> None:
    done = place.run("import", str(tmp_path / "none"))
    assert (done.returncode, done.stderr) == (1, f"{tmp_path / 'none'}: No such file or directory\n")


def test_an_import_is_rejected_under_another_developer_provider(place: Place, tmp_path: Path) -> None:
    place.import_(LINE)
    config = tmp_path / "tokend.toml"
    config.write_text(config.read_text(encoding="utf-8").replace(PROVIDER, "login.other.test"), encoding="utf-8")
    done = place.import_({**LINE, "IdentityId": "eu-west-1:0e", "Logins": [login("new", "login.other.test")]})
    assert done.returncode == 1
    assert "users of the pool are registered under login.example.test" in done.stderr
