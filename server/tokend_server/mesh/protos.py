"""Envoy's messages and services, in a pool of their own.

The process has other files of the same names, as `google/rpc/status.proto`, and protobuf's default pool takes each
name once.
"""

from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from tokend_envoy_proto import file_descriptors


class EnvoyProtos:
    """The messages and services that tokend serves of Envoy's."""

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        for file in file_descriptors().file:
            self._pool.Add(file)

    def message(self, name: str) -> Any:  # noqa: ANN401 - a class that is made when it is asked for
        """The class of a message, by its full name."""
        return GetMessageClass(self._pool.FindMessageTypeByName(name))

    def service(self, name: str) -> ServiceDescriptor:
        """A service, by its full name."""
        return self._pool.FindServiceByName(name)
