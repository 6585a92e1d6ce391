"""clients/envoy: its page and its files match."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # it has no types
from tests.clients.toolchains import run
from tests.envoy.examples import EXAMPLES, example, find_envoy
from tests.envoy.page import MUTUAL_TLS, PAGE, SNIPPETS, TLS, with_files
from tests.support.certificates import write_certificate

from tokend_server.config import load_config

POOL = "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"

FILES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


def snippet(kind: str) -> dict[str, Any]:
    """Returns the spec of the Kubernetes resource of a kind."""
    (found,) = [each for each in SNIPPETS if each.get("kind") == kind]
    spec: dict[str, Any] = found["spec"]
    return spec


def validate(configuration: object, directory: Path) -> None:
    path = directory / "envoy.yaml"
    path.write_text(
        configuration if isinstance(configuration, str) else yaml.safe_dump(configuration), encoding="utf-8"
    )
    run([find_envoy(), "--mode", "validate", "-c", str(path), "--log-level", "error"], directory)


def test_the_page_names_every_file() -> None:
    assert sorted(set(re.findall(r"\]\((\w+\.yaml)\)", PAGE))) == FILES


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_a_valid_envoy_configuration(name: str, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    text = re.sub(r"/etc/envoy/\w+\.crt", str(certificate.certificate_file), example(name, {}))
    validate(re.sub(r"/etc/envoy/\w+\.key", str(certificate.private_key_file), text), tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_begins_with_every_value_to_set(name: str) -> None:
    text = example(name, {})
    head, _, body = text.partition("admin:")
    assert set(re.findall(r"port_value: \d+", body)) == set(re.findall(r"port_value: \d+", head))
    assert {path.rpartition("/")[2] for path in re.findall(r"/(?:etc|run)/[\w/.]+", body)} <= set(
        re.findall(r"[\w.]+", head)
    )


@pytest.mark.parametrize(
    ("name", "cluster"),
    [("jwt_authn.yaml", "tokend_issuer"), ("sidecar.yaml", "tokend"), ("ext_authz.yaml", "tokend")],
)
def test_the_tls_of_the_page_fits_the_files(name: str, cluster: str, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    for tls in (TLS, MUTUAL_TLS):
        configuration = yaml.safe_load(
            example(
                name, {"/etc/envoy/login.crt": str(certificate.certificate_file)} if name == "ext_authz.yaml" else {}
            )
        )
        (found,) = [each for each in configuration["static_resources"]["clusters"] if each["name"] == cluster]
        found["transport_socket"] = with_files(
            tls, certificate.certificate_file, certificate.certificate_file, certificate.private_key_file
        )
        validate(configuration, tmp_path)


def test_the_mapping_of_the_page_is_valid_and_used_by_ext_authz(tmp_path: Path) -> None:
    (block,) = [
        text for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[grpc]" in text and "ext_authz" in text
    ]
    path = tmp_path / "tokend.toml"
    path.write_text(f'{block}[pools."{POOL}"]\ndeveloper_provider_name = "login.acme.internal"\n', encoding="utf-8")
    (name,) = load_config(path).ext_authz.mappings
    assert f"tokend.mapping: {name}" in example("ext_authz.yaml", {})


def test_istio_has_the_settings_that_envoy_has() -> None:
    (rule,) = snippet("RequestAuthentication")["jwtRules"]
    configuration = yaml.safe_load(
        example("jwt_authn.yaml", {"http://127.0.0.1:8080": "https://tokens.example.internal"})
    )
    manager = configuration["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    provider = manager["http_filters"][0]["typed_config"]["providers"]["tokend"]
    assert rule == {
        "issuer": provider["issuer"],
        "jwksUri": provider["remote_jwks"]["http_uri"]["uri"],
        "audiences": provider["audiences"],
        "forwardOriginalToken": provider["forward"],
        "outputClaimToHeaders": [
            {"header": each["header_name"], "claim": each["claim_name"]} for each in provider["claim_to_headers"]
        ],
    }


def test_istio_lets_no_request_pass_without_a_token() -> None:
    authentication, policy = snippet("RequestAuthentication"), snippet("AuthorizationPolicy")
    assert policy["selector"] == authentication["selector"]
    assert policy["action"] == "ALLOW"
    issuer = authentication["jwtRules"][0]["issuer"]
    assert policy["rules"] == [{"from": [{"source": {"requestPrincipals": [f"{issuer}/*"]}}]}]
