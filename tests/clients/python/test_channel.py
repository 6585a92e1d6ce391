import json
import re
from pathlib import Path

import pytest
from tests.clients.python.twins import Twin

from tokend_client import service_config
from tokend_client.channel import DEFAULT_TIMEOUT, check_plaintext

CLIENTS_README = Path(__file__).parents[3] / "clients" / "README.md"


def test_the_service_config_is_that_of_all_clients() -> None:
    (documented,) = re.findall(r"```json\n(.*?)```", CLIENTS_README.read_text(encoding="utf-8"), re.DOTALL)
    expected = json.loads(documented)
    assert float(expected["methodConfig"][0].pop("timeout").removesuffix("s")) == DEFAULT_TIMEOUT
    assert json.loads(service_config()) == expected


LOCAL = (
    *("127.0.0.1:50051", "localhost:1", "[::1]:50051", "unix:/run/tokend.sock", "unix-abstract:tokend"),
    *("dns:///localhost:1", "dns:127.0.0.1:1", "ipv4:127.0.0.1:1,127.0.0.2:2", "ipv6:[::1]:1", "localhost"),
)
REMOTE = (
    *("tokend:50051", "10.0.0.1:50051", "[2001:db8::1]:1", "dns:///tokend.example.test:1", "localhost.example.test:1"),
    *("ipv4:127.0.0.1:1,10.0.0.1:1", "dns://127.0.0.1/tokend:1", "xds:///tokend", ""),
)


@pytest.mark.parametrize("target", LOCAL)
def test_plaintext_may_stay_on_this_machine(target: str) -> None:
    check_plaintext(target)


@pytest.mark.parametrize("target", REMOTE)
def test_plaintext_does_not_leave_this_machine_by_accident(target: str, twin_type: type[Twin]) -> None:
    with pytest.raises(ValueError, match="plaintext"):
        check_plaintext(target)
    if target:
        twin_type(target, insecure=True).__exit__()
