"""moto's own tests of identity pools, from its source distribution, run against tokend."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.clients.toolchains import BUILD_TIMEOUT, fail
from tests.support.moto_tests import moto_tests

from tokend_client.testing import CognitoIdentityServer

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

_NO_ID = "an id without a Region breaks the pattern of the service model: ValidationException"
_NO_ACCOUNT = "an account id that is no number breaks the pattern of the service model: ValidationException"

#: Expectations of moto that differ from AWS, with reasons.
MOTO_IS_WRONG = {
    "test_update_identity_pool[SupportedLoginProviders-initial_value1-updated_value1]": "none comes back as none",
    "test_update_identity_pool[DeveloperProviderName-dev1-dev2]": "a name that is set stays (API reference)",
    "test_describe_identity_pool_with_invalid_id_raises_error": _NO_ID,
    "test_get_id": _NO_ACCOUNT,
    "test_get_id__unknown_region": _NO_ACCOUNT,
    "test_get_credentials_for_identity": _NO_ID,
    "test_get_open_id_token_for_developer_identity": _NO_ID,
    "test_get_open_id_token_for_developer_identity_when_no_explicit_identity_id": "there is no such pool",
    "test_get_open_id_token": _NO_ID,
    "test_list_identities": _NO_ACCOUNT,
}


def test_motos_tests_pass_but_for_those_in_which_moto_is_wrong(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    with CognitoIdentityServer() as server:
        own = {name: value for name, value in server.environment_of_a_child().items() if not name.startswith("PYTEST_")}
        environment = {
            **own,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(Path(__file__).parent / "moto"),
        }
        words = ["-q", "-p", "against_tokend", "-p", "no:cacheprovider", "-c", os.devnull, f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *words, "tests/test_cognitoidentity/test_cognitoidentity.py"]
        done = subprocess.run(command, cwd=moto_tests(), env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:  # passed, or some have failed
        fail(command, done.stdout + done.stderr)
    cases = list(ET.parse(report).iter("testcase"))
    failed = {case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None}
    assert failed == MOTO_IS_WRONG.keys(), done.stdout
    assert len(cases) > len(failed)
