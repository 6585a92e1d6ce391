"""Envoy's messages and services, in a separate descriptor pool.

The process has other files with the same names, such as `google/rpc/status.proto`, and protobuf's default pool accepts
each name only once.
"""

from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from tokend_envoy_proto import file_descriptors


class EnvoyProtos:
    """Envoy's messages and services that tokend serves."""

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        for file in file_descriptors().file:
            self._pool.Add(file)

    def message(self, name: str) -> Any:  # noqa: ANN401 - a class that is made when it is asked for
        """Returns the class of a message, by its full name."""
        return GetMessageClass(self._pool.FindMessageTypeByName(name))

    def service(self, name: str) -> ServiceDescriptor:
        """Returns a service, by its full name."""
        return self._pool.FindServiceByName(name)
