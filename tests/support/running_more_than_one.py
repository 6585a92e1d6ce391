"""Runs the commands of server/running-more-than-one.md literally."""

import re
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from tests.support.calls import Caller
from tests.support.server_process import ServerProcess
from tests.support.tokend import run

from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import Config, Store
from tokend_server.engines.local.store import Change
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.model import Identity, Login, Secret

POOL = "eu-west-1:11111111-2222-3333-4444-555555555555"

_PAGE = (Path(__file__).parents[2] / "server" / "running-more-than-one.md").read_text(encoding="utf-8")
_FREE = dict.fromkeys(("TOKEND_GRPC_LISTEN", "TOKEND_ISSUER_LISTEN", "TOKEND_OPS_LISTEN"), "127.0.0.1:0")
_KNOWN = "known"


def blocks(section: str, language: str) -> list[str]:
    """Returns the code of a section, including its subsections."""
    text = re.split(rf"^## {re.escape(section)}$", _PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def registered_on(database: Path) -> str:
    """Returns the id of a user who is registered in the previous database."""
    with closing(open_migrated_store(Config(store=Store(url=f"sqlite:///{database}")))) as store:
        login = Login("login.example.internal", Secret(_KNOWN))
        before = Identity("eu-west-1:0000abcd-0000-4000-8000-000000000000", POOL, 1, 1, frozenset({login}))
        store.commit(Change(None, before), deadline=Deadline(SystemClock()))
    return before.identity_id


def copied(database: Path, config: Path) -> None:
    """Follows "From SQLite"."""
    (command,) = blocks("From SQLite", "sh")
    assert "/var/lib/tokend/tokend.db" in command
    command = command.replace("/var/lib/tokend/tokend.db", str(database))
    words = [str(config) if word == "tokend.toml" else word for word in command.split()]
    assert str(config) in words
    ended = run(*words[1:])
    assert "identities: 1 created" in ended.stdout, ended.stderr


def ids_by_two_servers(config: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Follows "The servers"; returns the ids from two servers, for a new user and for that of `registered_on`."""
    assert blocks("The servers", "sh") == ["tokend check-config\ntokend serve\n"]
    with ExitStack() as running:
        servers = [running.enter_context(ServerProcess(config, _FREE)) for _ in range(2)]
        for each in servers:
            each.identity_pool_id, each.developer_provider_name = POOL, "login.example.internal"
        callers = [running.enter_context(closing(Caller(each))) for each in servers]
        new = [each.get_token("new").identity_id for each in callers]
        return new, [each.get_token(_KNOWN).identity_id for each in callers]
