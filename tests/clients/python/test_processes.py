"""Clients in forked processes and in other event loops: a clear error, and no waiting."""

import asyncio
import os
import subprocess
import sys
import textwrap

import pytest
from tests.clients.python.facades import TIMEOUT

from tokend_client import AsyncClient, AsyncTokenCache, AsyncTokenSource, TokenRequest
from tokend_client.testing import FakeTokendServer

FORKS = """
    import os, sys, threading
    from tokend_client import Forked, TokenCache, Client, TokenRequest, TokenSource

    def outcome(act):
        try:
            act()
        except Forked as error:
            return "Forked" if "fork" in str(error) else str(error)
        except BaseException as error:
            return repr(error)
        return "nothing"

    endpoint, pool, provider = sys.argv[1:4]
    user = lambda name: TokenRequest(identity_pool_id=pool, logins={provider: name})
    client = Client(endpoint, plaintext=True)
    cache, source = TokenCache(client), TokenSource(client, user("held"))
    source.token(30)
    print("ready", flush=True)
    sys.stdin.readline()
    waiting = [threading.Thread(target=cache.token, args=(user(name), 30)) for name in ("a", "b")]
    for thread in waiting:
        thread.start()
    print("asked", flush=True)
    sys.stdin.readline()
    locks = (source._lock, cache._sources._lock, client.turns._lock)
    for lock in locks:
        lock.acquire()
    child = os.fork()
    if child == 0:
        asks = (lambda: source.token(5), source.token_future().result, lambda: cache.token(user("a"), 5),
                lambda: cache.token(user("new"), 5), lambda: client.get_token(user("new"), timeout=5))
        print([outcome(ask) for ask in asks], source.snapshot, flush=True)
        source.close(); cache.close(); client.close()
        os._exit(0)
    for lock in locks:
        lock.release()
    assert os.waitpid(child, 0)[1] == 0
    print("forked", flush=True)
    for thread in waiting:
        thread.join()
    print(bool(source.token(30)), bool(cache.token(user("a"), 30)), flush=True)
    source.close(); cache.close(); client.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_gets_an_error_and_its_parent_continues() -> None:
    with FakeTokendServer() as server:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", textwrap.dedent(FORKS)),
                *(server.endpoint, server.identity_pool_id, server.developer_provider_name),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert process.stdin
        assert process.stdout
        try:
            assert process.stdout.readline() == "ready\n"
            server.pause()
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "asked\n"
            server.wait_for_calls(3)
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{['Forked'] * 5} None\n"
            assert process.stdout.readline() == "forked\n"
            server.resume()
            assert process.communicate(timeout=TIMEOUT)[0] == "True True\n"
            assert process.returncode == 0
        finally:
            process.kill()
            process.wait()


def test_importing_registers_nothing_for_forks() -> None:
    program = """
        import os
        registered = []
        os.register_at_fork = lambda **hooks: registered.append(hooks)
        import tokend_client
        ours = lambda: [hooks for hooks in registered if "_registered" in repr(hooks)]
        assert ours() == [], registered
        tokend_client.Client("127.0.0.1:1", plaintext=True).close()
        tokend_client.Client("127.0.0.1:1", plaintext=True).close()
        assert len(ours()) == 1, registered
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=TIMEOUT)


def test_a_second_event_loop_gets_an_error() -> None:
    with FakeTokendServer() as server:
        user = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "a"})

        async def make() -> tuple[AsyncClient, AsyncTokenCache, AsyncTokenSource]:
            client = AsyncClient(server.endpoint, plaintext=True)
            cache = AsyncTokenCache(client)
            await cache.token(user)
            return client, cache, cache.source(user)

        async def use(client: AsyncClient, cache: AsyncTokenCache, source: AsyncTokenSource) -> None:
            for what, ask in (
                ("Client", client.get_token(user)),
                ("Cache", cache.token(user)),
                ("Source", source.token()),
            ):
                with pytest.raises(RuntimeError, match=f"{what} belongs to another event loop"):
                    await asyncio.wait_for(ask, TIMEOUT)

        with asyncio.Runner() as first:
            made = first.run(make())
            with asyncio.Runner() as second:
                second.run(use(*made))
            first.run(made[1].close())
            first.run(made[0].close())
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            asyncio.run(made[1].token(user))
        assert made[2].token_future().exception(TIMEOUT) is not None


def test_a_cache_made_outside_of_a_loop_belongs_to_the_first_that_uses_it() -> None:
    with FakeTokendServer() as server:
        user = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "a"})

        async def use(cache: AsyncTokenCache) -> None:
            await cache.token(user)
            await cache.close()

        async def connect() -> AsyncClient:
            return AsyncClient(server.endpoint, plaintext=True)

        with asyncio.Runner() as runner:
            client = runner.run(connect())
            runner.run(use(AsyncTokenCache(client)))
            runner.run(client.close())
