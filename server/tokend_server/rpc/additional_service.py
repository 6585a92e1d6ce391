"""Services of other contracts, whose calls attempt operations of this one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from tokend_server.model import Operation


@dataclass(frozen=True, slots=True)
class AdditionalService:
    """A further service that the listeners serve.

    Attributes:
        descriptor: The service, in any descriptor pool.
        operations: The operation that each method attempts, for the policy and the audit log.
        add_to: Registers the service on a server.
    """

    descriptor: ServiceDescriptor
    operations: Mapping[str, Operation]
    add_to: Callable[[grpc.Server], None]


def operations_by_path(services: Iterable[AdditionalService]) -> Mapping[str, Operation]:
    """Returns the operations that services' methods attempt, by method path."""
    return {
        f"/{service.descriptor.full_name}/{method}": operation
        for service in services
        for method, operation in service.operations.items()
    }


def pool_of(services: Iterable[ServiceDescriptor]) -> DescriptorPool:
    """Returns a descriptor pool with the files of services from several pools; the first of files of the same name."""
    pool = DescriptorPool()
    known: set[str] = set()
    for service in services:
        _add(service.file, pool, known)
    return pool


def _add(file: FileDescriptor, pool: DescriptorPool, known: set[str]) -> None:
    if file.name in known:
        return
    known.add(file.name)
    for dependency in file.dependencies:
        _add(dependency, pool, known)
    pool.AddSerializedFile(file.serialized_pb)
