"""Calls that a server works on, by its metrics."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

_SIGN = {"grpc_server_started_total": 1, "grpc_server_handled_total": -1}


def calls_in_flight(ops: str, method: str) -> int:
    """How many calls of a method have begun and not ended.

    Args:
        ops: The URL of the metrics' listener.
        method: Its name, without the service's.
    """
    with httpx.Client(trust_env=False, verify=False) as client:
        text = client.get(f"{ops}/metrics").raise_for_status().text
    return sum(
        round(sample.value) * _SIGN[sample.name]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in _SIGN and sample.labels["grpc_method"] == method
    )
