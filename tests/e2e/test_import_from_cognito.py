"""Import of a Cognito pool into a local one: each user keeps the id."""

import json
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.fakes.cognito_pool import CognitoPool, Listed
from tests.fakes.cognito_script import Body, Success
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.managed_pools import MANAGED_POOLS
from tests.support.tokend import Ended, run

from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import load_config
from tokend_server.engines.local.build import build_local_engines
from tokend_server.engines.local.kept_pools import document_of
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.metrics import Metrics
from tokend_server.model import IdentityPool, Secret, TokenRequest

POOL = "eu-west-1:0a1b2c3d-0000-4000-8000-00000000000a"
PROVIDER = "login.example.test"
REFUSED = Body(b'{"__type": "AccessDeniedException", "message": "no"}', 400)


def identity(number: int) -> str:
    return f"eu-west-1:{number:08x}"


class Migration:
    """A configuration of a local pool, and Cognito with the pool of the same id."""

    def __init__(self, directory: Path, cognito: CognitoPool) -> None:
        self.config = directory / "tokend.toml"
        self.cognito = cognito
        self.config.write_text(
            f'[store]\nurl = "sqlite:///{directory}/tokend.db"\n'
            f'[cognito]\nendpoint_url = "{cognito.url}"\nmax_attempts = 1\n'
            f'[pools."{POOL}"]\ndeveloper_provider_name = "{PROVIDER}"\n',
            encoding="utf-8",
        )

    def import_(self, *words: str, source: str = POOL) -> Ended:
        place = ("--config", str(self.config), "--identity-pool-id", POOL)
        options = ("--from-cognito", source, "--lookups-per-second", "1000", *words)
        return run("identities", "import", *place, *options)

    def identity_of(self, user: str) -> str:
        config, clock = load_config(self.config), SystemClock()
        engines: Any = build_local_engines(
            config, config.pools_of("local"), "https://t.example.test", Metrics(CollectorRegistry()), clock, nullcontext
        )
        with closing(engines):
            request = TokenRequest(POOL, {PROVIDER: Secret(user)})
            issued = engines.by_pool[POOL][0].get_open_id_token_for_developer_identity(request, Deadline(clock))
            return str(issued.identity_id)


@pytest.fixture
def migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Migration]:
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)
    with CognitoPool(POOL, PROVIDER, page=2) as cognito:
        yield Migration(tmp_path, cognito)


def test_each_user_keeps_the_id(migration: Migration) -> None:
    migration.cognito.identities = {identity(n): Listed([f"user-{n}", f"alias-{n}", f"third-{n}"]) for n in range(5)}
    done = migration.import_()
    assert (done.returncode, done.stdout) == (0, "identities: 5 created, 0 already present, 0 left out\n"), done.stderr
    assert [migration.identity_of(f"third-{n}") for n in range(5)] == [identity(n) for n in range(5)]


def test_guests_and_disabled_identities_keep_their_state(migration: Migration) -> None:
    migration.cognito.identities = {identity(1): Listed(), identity(2): Listed(disabled=True)}
    assert migration.import_().returncode == 0
    listed = run("identities", "list", "--config", str(migration.config), "--identity-pool-id", POOL).stdout
    assert [line.strip() for line in listed.splitlines() if "Disabled" in line] == [
        '"Disabled": false',
        '"Disabled": true',
    ]
    assert migration.cognito.count("LookupDeveloperIdentity") == 1


def test_logins_of_public_providers_are_named(migration: Migration) -> None:
    migration.cognito.identities = {
        identity(1): Listed(["canary"], [PROVIDER, "accounts.google.com"]),
        identity(2): Listed([], ["accounts.google.com"]),
    }
    done = migration.import_()
    assert (done.returncode, done.stdout) == (1, "identities: 1 created, 0 already present, 1 left out\n")
    assert f"{identity(2)}: it has only logins of accounts.google.com" in done.stderr
    assert f"{identity(1)}\n" in done.stderr
    assert "canary" not in done.stderr
    assert migration.identity_of("canary") == identity(1)


def test_an_interrupted_import_can_be_resumed(migration: Migration) -> None:
    migration.cognito.identities = {identity(n): Listed([f"user-{n}"]) for n in range(50)}
    migration.cognito.script([*[Success()] * 33, REFUSED])
    assert migration.import_().returncode == 1
    before = migration.cognito.count("LookupDeveloperIdentity")
    assert migration.import_().stdout == "identities: 30 created, 20 already present, 0 left out\n"
    assert migration.cognito.count("LookupDeveloperIdentity") - before == 30


def test_conflicting_identities_are_not_imported(migration: Migration) -> None:
    migration.cognito.identities = {identity(1): Listed(["one"])}
    migration.import_()
    migration.cognito.identities = {
        identity(1): Listed(["canary"], modified=1_700_000_200),
        identity(2): Listed(["one"]),
        identity(3): Listed([f"user-{n}" for n in range(21)]),
    }
    done = migration.import_()
    assert (done.returncode, done.stdout) == (1, "identities: 0 created, 0 already present, 3 left out\n")
    assert f"{identity(1)}: the store has the identity with other contents" in done.stderr
    assert f"{identity(2)}: a login is linked to another identity" in done.stderr
    assert f"{identity(3)}: it has 21 logins" in done.stderr
    assert "canary" not in done.stderr


def test_a_pool_of_another_developer_provider_is_refused(migration: Migration) -> None:
    text = migration.config.read_text(encoding="utf-8").replace(PROVIDER, "login.other.test")
    migration.config.write_text(text, encoding="utf-8")
    done = migration.import_()
    assert done.returncode == 1
    assert f"developer_provider_name: is login.other.test, but in Cognito it is {PROVIDER}" in done.stderr
    assert migration.cognito.count("ListIdentities") == 0


def test_an_import_without_permissions_is_reported(migration: Migration) -> None:
    migration.cognito.always(REFUSED)
    done = migration.import_()
    assert (done.returncode, len(migration.cognito.requests)) == (1, 1)
    assert "ListIdentities" in done.stderr


def test_an_unknown_pool_is_named_in_the_error(migration: Migration) -> None:
    done = migration.import_(source=(source := "eu-west-1:0a1b2c3d-0000-4000-8000-00000000000b"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"IdentityPool '{source}' not found. Cognito does not know the identity pool.")


@pytest.mark.parametrize("words", [("lines", "--from-cognito", POOL), (), ("--from-cognito", "us-east-1:0a")])
def test_wrong_usage_has_exit_code_2(migration: Migration, words: tuple[str, ...]) -> None:
    place = ("--config", str(migration.config), "--identity-pool-id", POOL)
    assert run("identities", "import", *place, *words).returncode == 2


MADE = "eu-west-1:0a1b2c3d-0000-4000-8000-00000000000b"


def made(migration: Migration, directory: Path, developer_provider: str) -> None:
    """Creates a pool as a caller of Cognito's own API does."""
    (directory / "aws.key").write_text("0" * 64, encoding="ascii")
    with migration.config.open("a", encoding="utf-8") as file:
        file.write(MANAGED_POOLS.format(directory=directory))
    settings = {"IdentityPoolName": "made", "AllowUnauthenticatedIdentities": False}
    pool = IdentityPool(MADE, {**settings, "DeveloperProviderName": developer_provider})
    with closing(open_migrated_store(load_config(migration.config))) as store:
        store.keep_pool(None, MADE, document_of(pool))


def import_into_made(migration: Migration) -> Ended:
    place = ("--config", str(migration.config), "--identity-pool-id", MADE)
    return run("identities", "import", *place, "--from-cognito", POOL, "--lookups-per-second", "1000")


def test_identities_are_imported_into_a_pool_created_by_a_caller(migration: Migration, tmp_path: Path) -> None:
    made(migration, tmp_path, PROVIDER)
    migration.cognito.identities = {identity(n): Listed([f"user-{n}"]) for n in range(3)}
    done = import_into_made(migration)
    assert (done.returncode, done.stdout) == (0, "identities: 3 created, 0 already present, 0 left out\n"), done.stderr
    exported = run("identities", "export", "--config", str(migration.config), "--identity-pool-id", MADE).stdout
    lines = [json.loads(line) for line in exported.splitlines()]
    assert [(line["IdentityId"], line["Logins"][0]["UserIdentifier"]) for line in lines] == [
        (identity(n), f"user-{n}") for n in range(3)
    ]


def test_nothing_is_imported_into_a_created_pool_of_another_developer_provider(
    migration: Migration, tmp_path: Path
) -> None:
    made(migration, tmp_path, "login.other.test")
    migration.cognito.identities = {identity(1): Listed(["user-1"])}
    done = import_into_made(migration)
    assert done.returncode != 0
    assert PROVIDER in done.stderr
    assert run("identities", "export", "--config", str(migration.config), "--identity-pool-id", MADE).stdout == ""
