"""The calls in flight of a server, by its metrics."""

import httpx
from tests.support.metric_samples import total


def calls_in_flight(ops: str, method: str) -> int:
    """Returns how many calls of a method have started and not ended.

    Args:
        ops: The URL of the metrics' listener.
        method: Its name, without the service's.
    """
    with httpx.Client(trust_env=False, verify=False) as client:
        text = client.get(f"{ops}/metrics").raise_for_status().text
    begun, ended = (total(text, f"grpc_server_{name}_total", grpc_method=method) for name in ("started", "handled"))
    return round(begun - ended)
