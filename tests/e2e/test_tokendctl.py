"""The installed tokendctl against a running tokend."""

import base64
import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, Protocol

import pytest

GET = "get-open-id-token-for-developer-identity"
LOOKUP = "lookup-developer-identity"
MERGE = "merge-developer-identities"
UNLINK = "unlink-developer-identity"


class Tokend(Protocol):
    """A running service with one ready pool."""

    endpoint: str
    identity_pool_id: str
    developer_provider_name: str


class Tokendctl:
    """tokendctl for the pool of a service."""

    def __init__(self, tokend: Tokend) -> None:
        self._command = str(Path(sysconfig.get_path("scripts")) / "tokendctl")
        self._environment = os.environ | {"TOKEND_ENDPOINT": tokend.endpoint}
        self._pool = ["--identity-pool-id", tokend.identity_pool_id]
        self.provider = tokend.developer_provider_name

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [self._command, *words, *self._pool]
        return subprocess.run(
            command, env=self._environment, capture_output=True, encoding="utf-8", check=False, timeout=60
        )

    def done(self, *words: str) -> Any:  # noqa: ANN401 - whatever JSON it prints
        ended = self.run(*words)
        assert (ended.stderr, ended.returncode) == ("", 0)
        return json.loads(ended.stdout or "null")

    def identity(self, user: str, *words: str) -> str:
        """Returns the identity id of a token that is issued for the user."""
        identity_id: str = self.done(GET, "--logins", f"{self.provider}={user}", *words)["IdentityId"]
        return identity_id


@pytest.fixture
def tokendctl(tokend: Tokend) -> Tokendctl:
    return Tokendctl(tokend)


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def test_a_user_keeps_an_identity_and_gets_tokens(tokendctl: Tokendctl, tokend: Tokend) -> None:
    login = f"{tokend.developer_provider_name}=ctl-alice"
    first = tokendctl.done(GET, "--logins", login)
    second = tokendctl.done(GET, "--logins", login, "--token-duration", "60", "--principal-tags", "team=red")
    assert list(first) == list(second) == ["IdentityId", "Token"]
    assert first["IdentityId"] == second["IdentityId"] == claims(second["Token"])["sub"]
    assert claims(second["Token"])["aud"] == tokend.identity_pool_id
    assert claims(second["Token"])["exp"] - claims(second["Token"])["iat"] == 60


def test_a_login_may_be_read_from_a_file(tokendctl: Tokendctl, tokend: Tokend, tmp_path: Path) -> None:
    (tmp_path / "logins.json").write_text(json.dumps({tokend.developer_provider_name: "ctl-Ålice"}), encoding="utf-8")
    from_file = tokendctl.done(GET, "--logins", f"file://{tmp_path}/logins.json")
    assert from_file["IdentityId"] == tokendctl.identity("ctl-Ålice")


def test_users_are_looked_up_both_ways(tokendctl: Tokendctl) -> None:
    identity_id = tokendctl.identity("ctl-bob")
    expected = {"IdentityId": identity_id, "DeveloperUserIdentifierList": ["ctl-bob"]}
    assert tokendctl.done(LOOKUP, "--developer-user-identifier", "ctl-bob") == expected
    assert tokendctl.done(LOOKUP, "--identity-id", identity_id) == expected


def test_users_are_merged_paged_and_unlinked(tokendctl: Tokendctl) -> None:
    source, destination = tokendctl.identity("ctl-carol"), tokendctl.identity("ctl-dave")
    assert source != destination
    provider = ["--developer-provider-name", tokendctl.provider]
    users = ["--source-user-identifier", "ctl-carol", "--destination-user-identifier", "ctl-dave"]
    assert tokendctl.done(MERGE, *users, *provider) == {"IdentityId": destination}

    identity = ["--identity-id", destination]
    page = tokendctl.done(LOOKUP, *identity, "--max-results", "1")
    assert list(page) == ["IdentityId", "DeveloperUserIdentifierList", "NextToken"]
    rest = tokendctl.done(LOOKUP, *identity, "--max-results", "1", "--next-token", page["NextToken"])
    found = page["DeveloperUserIdentifierList"] + rest["DeveloperUserIdentifierList"]
    assert sorted(found) == ["ctl-carol", "ctl-dave"]

    assert tokendctl.done(UNLINK, *identity, *provider, "--developer-user-identifier", "ctl-carol") is None
    assert tokendctl.identity("ctl-carol") not in {source, destination}


def test_a_limit_is_refused_by_the_service(tokendctl: Tokendctl) -> None:
    ended = tokendctl.run(LOOKUP, "--max-results", "61", "--developer-user-identifier", "x" * 1025)
    assert (ended.stdout, ended.returncode) == ("", 254)
    assert ended.stderr.startswith("An error occurred (ValidationException) when calling the LookupDeveloperIdentity")
    assert "\n  max_results" in ended.stderr


def test_an_unknown_user_is_not_found(tokendctl: Tokendctl) -> None:
    ended = tokendctl.run(LOOKUP, "--developer-user-identifier", "ctl-unknown")
    assert (ended.stdout, ended.returncode) == ("", 254)
    assert ended.stderr.startswith("An error occurred (ResourceNotFoundException) when calling the LookupDeveloper")
    assert "ctl-unknown" not in ended.stderr
