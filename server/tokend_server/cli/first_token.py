"""Shows the first token of a service: gets it over gRPC, verifies it, and prints the next steps."""

import json
import shlex
from collections.abc import Mapping
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
from tokend_server.app import Service
from tokend_server.config import Config
from tokend_server.config.stores import SQLITE, SQLITE_FILE_SUFFIXES
from tokend_server.web.discovery import DISCOVERY_PATH, JWKS_PATH

_USER = "quickstart-user"
_CALL_SECONDS = 10

#: The number of characters of a shortened token.
_SHOWN_CHARACTERS = 40


def show_first_token(config: Config, service: Service, *, shortened: bool) -> None:
    """Gets a token, verifies it, and prints both.

    Args:
        config: The configuration of the service.
        service: The service, whose issuer has keys.
        shortened: Whether to shorten the token for people.

    Raises:
        click.ClickException: The call fails.
    """
    _show("serving", _overview(config, service))
    issued = _get_token(config, service.grpc_addresses[0])
    _show(f"GetOpenIdTokenForDeveloperIdentity for {_USER}", _response(issued, shortened=shortened))
    verified = _verify(issued.token, service.issuer, next(iter(config.pools)))
    _show(f"verified with the keys from {service.issuer}{DISCOVERY_PATH}", verified)


def storage_location(config: Config) -> str:
    """Returns the location of identities and keys, and how to remove them."""
    if not config.store_url.startswith(SQLITE):
        return f"Identities and keys stay in {config.store_name}, until its tables are dropped."
    files = shlex.join(f"{config.store_file}{end}" for end in ("", *SQLITE_FILE_SUFFIXES))
    return f"Identities and keys stay in {config.store_file}; to remove them: rm -f {files}"


def example_commands(config: Config, service: Service, environment: Mapping[str, str]) -> list[str]:
    """Returns three commands for another terminal: two that get a token, and one that gets the keys.

    Args:
        config: The configuration of the service.
        service: The service.
        environment: Shows whether the commands of this service need `uv run`.
    """
    identity_pool_id, pool = next(iter(config.pools.items()))
    endpoint, logins = service.grpc_addresses[0], {pool.developer_provider_name: "alice"}
    tokendctl = ["tokendctl", "get-open-id-token-for-developer-identity", "--endpoint", endpoint]
    tokendctl += ["--identity-pool-id", identity_pool_id, "--logins", json.dumps(logins)]
    grpcurl = ["grpcurl", "-plaintext", "-d", json.dumps({"identityPoolId": identity_pool_id, "logins": logins})]
    grpcurl += [endpoint, "tokend.v1.DeveloperIdentityService/GetOpenIdTokenForDeveloperIdentity"]
    runner = ["uv", "run"] if "UV" in environment else []
    return [shlex.join(line) for line in ([*runner, *tokendctl], grpcurl, ["curl", service.issuer + JWKS_PATH])]


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
    """Verifies a token by discovery over HTTP, as verifiers do; returns its header and claims."""
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


def _overview(config: Config, service: Service) -> dict[str, Any]:
    return {
        "gRPC": service.grpc_addresses[0],
        "issuer": service.issuer,
        "metrics": f"http://{service.ops_address}/metrics",
        "store": config.store_name,
    }


def _response(issued: GetOpenIdTokenForDeveloperIdentityResponse, *, shortened: bool) -> dict[str, Any]:
    return {
        "identity_id": issued.identity_id,
        "token": f"{issued.token[:_SHOWN_CHARACTERS]}…" if shortened else issued.token,
        "expire_time": issued.expire_time.ToJsonString(),
        "refresh_time": issued.refresh_time.ToJsonString(),
        "issue_time": issued.issue_time.ToJsonString(),
    }


def _show(title: str, members: dict[str, Any]) -> None:
    click.secho(f"\n{title}", bold=True)
    click.echo(json.dumps(members, indent=2, ensure_ascii=False))
