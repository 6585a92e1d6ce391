"""A service in this process, with an issuer URL with a path and a pool for each signing algorithm."""

from collections.abc import Callable
from pathlib import Path

from tests.support.ports import free_port

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityResponse
from tokend_server import app
from tokend_server.app import Service
from tokend_server.config import Config, Grpc, Issuer, Ops, Pool, Store

PROVIDER = "login.example.test"

#: The pool of each algorithm.
POOLS = {"ES256": "us-east-1:0e", "RS256": "us-east-1:0a", "RS512": "us-east-1:0b"}

#: Requests a token of a user in a pool from an endpoint; returns the response.
GetToken = Callable[..., GetOpenIdTokenForDeveloperIdentityResponse]


def start_service(directory: Path) -> Service:
    """Starts a service; the caller stops it."""
    port = free_port()
    config = Config(
        data_dir=directory,
        grpc=Grpc(listen=["127.0.0.1:0"], threads=2),
        issuer=Issuer(listen=f"127.0.0.1:{port}", url=f"http://127.0.0.1:{port}/tenants/a"),
        ops=Ops(listen="127.0.0.1:0"),
        store=Store(),
        pools={
            pool_id: Pool.model_validate({"developer_provider_name": PROVIDER, "signing_algorithm": algorithm})
            for algorithm, pool_id in POOLS.items()
        },
    )
    return app.start(config)
