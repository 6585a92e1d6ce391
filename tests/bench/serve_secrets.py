"""tokend for benchmarks of secret streams: one pool, and the secret `token`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.processes import Cores, accepts_connections, running, wait_until
from tests.support.ports import free_port

POOL = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"


@contextmanager
def serving_secrets(
    directory: Path, cores: Cores, *, listener: str, secret: str, rest: str
) -> Iterator[tuple[int, str]]:
    """Serves, and yields the process and the address.

    Args:
        directory: The directory for its files.
        cores: The cores to run on.
        listener: Additional TOML of the table [sds].
        secret: Additional TOML of the secret's table.
        rest: Additional TOML of the pool's table, and more tables.
    """
    port, ops = free_port(), free_port()
    config, log = directory / "tokend.toml", directory / "tokend.log"
    config.write_text(f"""
grpc.listen = ["127.0.0.1:0"]
issuer.listen = "127.0.0.1:0"
ops.listen = "127.0.0.1:{ops}"
store.url = "sqlite:///{directory}/tokend.db"
[sds]
listen = ["127.0.0.1:{port}"]
{listener}
[sds.tokens.token]
identity_pool_id = "{POOL}"
{secret}
[pools."{POOL}"]
developer_provider_name = "login.example.internal"
{rest}
""")
    with running([sys.executable, "-m", "tokend_server", "serve", "--config", str(config)], cores, log) as process:
        wait_until(lambda: accepts_connections(port), process, log, seconds=120)
        yield process.pid, f"127.0.0.1:{port}"
