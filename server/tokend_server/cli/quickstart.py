"""One command from nothing to a verified token."""

import json
from typing import Any

import click
import grpc
import urllib3
from joserfc import jwt
from joserfc.jwk import KeySet

from tokend.v1.developer_identity_service_pb2 import (
    GetOpenIdTokenForDeveloperIdentityRequest,
    GetOpenIdTokenForDeveloperIdentityResponse,
)
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server import app, logs
from tokend_server.cli.options import with_store
from tokend_server.cli.stopping import StopSignal
from tokend_server.config import Config, Grpc, Guard, load_config
from tokend_server.errors import ConfigError
from tokend_server.web.discovery import DISCOVERY_PATH

_USER = "quickstart-user"
_CALL_SECONDS = 10

#: Any free port, so that nothing that runs already is in the way.
_FREE = "127.0.0.1:0"


@click.command()
@click.option("--once", is_flag=True, help="Exit after the first token rather than stay up.")
@click.option("--store", "url", metavar="URL", help="The store; by default, the embedded one.")
def quickstart(*, once: bool, url: str | None) -> None:
    """Start on the embedded default, get a token over gRPC, and verify it with the published keys."""
    logs.configure(level="warning", as_json=False)
    stop = StopSignal()
    config = _on_free_ports(with_store(load_config(None), url) if url else load_config(None))
    service = app.start(config)
    try:
        if not service.issuer:
            raise ConfigError(["pools: quickstart shows the local engine, and no pool has it"])
        _show("serving", _overview(config, service))
        issued = _get_token(config, service.grpc_addresses[0])
        _show(f"GetOpenIdTokenForDeveloperIdentity for {_USER}", _response(issued))
        verified = _verify(issued.token, service.issuer, next(iter(config.pools)))
        _show(f"verified with the keys that {service.issuer}{DISCOVERY_PATH} leads to", verified)
        if not once:
            click.echo("\nStop with Ctrl-C. The same user has the same identity id after every restart.")
            stop.wait()
    finally:
        service.stop()


def _on_free_ports(config: Config) -> Config:
    """The configuration on the loopback alone, where callers need not be identified."""
    unguarded = Grpc(listen=[_FREE])
    return config.model_copy(
        update={
            "grpc": config.grpc.model_copy(
                update={name: getattr(unguarded, name) for name in ("listen", "listeners", *Guard.model_fields)}
            ),
            "policy": {},
            "issuer": config.issuer.model_copy(update={"listen": _FREE, "url": None}),
            "ops": config.ops.model_copy(update={"listen": _FREE}),
        }
    )


def _get_token(config: Config, endpoint: str) -> GetOpenIdTokenForDeveloperIdentityResponse:
    identity_pool_id, pool = next(iter(config.pools.items()))
    request = GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=identity_pool_id, logins={pool.developer_provider_name: _USER}
    )
    with grpc.insecure_channel(endpoint, [("grpc.enable_http_proxy", 0)]) as channel:
        stub = DeveloperIdentityServiceStub(channel)
        try:
            return stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            raise click.ClickException(f"the call failed: {error.code().name}: {error.details()}") from error


def _verify(token: str, issuer: str, audience: str) -> dict[str, Any]:
    """Verifies a token as its receivers would, by discovery over HTTP; returns its header and claims."""
    with urllib3.PoolManager(retries=False, timeout=_CALL_SECONDS) as http:
        discovered = http.request("GET", issuer + DISCOVERY_PATH).json()
        keys = KeySet.import_key_set(http.request("GET", discovered["jwks_uri"]).json())
    decoded = jwt.decode(token, keys, algorithms=discovered["id_token_signing_alg_values_supported"])
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        sub={"essential": True},
    ).validate(decoded.claims)
    return {"header": decoded.header, "claims": decoded.claims}


def _overview(config: Config, service: app.Service) -> dict[str, Any]:
    return {
        "gRPC": service.grpc_addresses[0],
        "issuer": service.issuer,
        "metrics": f"http://{service.ops_address}/metrics",
        "store": config.store_name,
    }


def _response(issued: GetOpenIdTokenForDeveloperIdentityResponse) -> dict[str, Any]:
    return {
        "identity_id": issued.identity_id,
        "token": issued.token,
        "expire_time": issued.expire_time.ToJsonString(),
        "refresh_time": issued.refresh_time.ToJsonString(),
        "issue_time": issued.issue_time.ToJsonString(),
    }


def _show(title: str, members: dict[str, Any]) -> None:
    click.secho(f"\n{title}", bold=True)
    click.echo(json.dumps(members, indent=2, ensure_ascii=False))
