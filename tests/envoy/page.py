"""The contents of clients/envoy/README.md."""

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # it has no types
from tests.envoy.examples import EXAMPLES

PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")

SNIPPETS: list[Any] = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]

#: TLS to an issuer, and mutual TLS to tokend.
TLS, MUTUAL_TLS = (each["transport_socket"] for each in SNIPPETS if "transport_socket" in each)


def with_files(
    transport_socket: Mapping[str, Any], trusted_ca: Path, certificate: Path, private_key: Path
) -> dict[str, Any]:
    """Returns a `transport_socket` with these files; the last two are only for mutual TLS."""
    found: dict[str, Any] = copy.deepcopy(dict(transport_socket))
    context = found["typed_config"]["common_tls_context"]
    context["validation_context"]["trusted_ca"]["filename"] = str(trusted_ca)
    for shown in context.get("tls_certificates", []):
        shown["certificate_chain"]["filename"] = str(certificate)
        shown["private_key"]["filename"] = str(private_key)
    return found
