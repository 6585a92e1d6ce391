"""Services of other contracts, whose calls are attempts at operations of this one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from tokend_server.model import Operation


@dataclass(frozen=True, slots=True)
class GuestService:
    """A service that listeners serve beside the contract's own.

    Attributes:
        descriptor: The service, in whatever pool.
        operations: What a call of each of its methods is an attempt at, for the policy and the audit log.
        add_to: Has a server serve it.
    """

    descriptor: ServiceDescriptor
    operations: Mapping[str, Operation]
    add_to: Callable[[grpc.Server], None]


def operations_by_path(guests: Iterable[GuestService]) -> Mapping[str, Operation]:
    """What calls of the guests' methods are attempts at, by the paths of these."""
    return {
        f"/{guest.descriptor.full_name}/{method}": operation
        for guest in guests
        for method, operation in guest.operations.items()
    }


def pool_of(services: Iterable[ServiceDescriptor]) -> DescriptorPool:
    """A pool with the files of services from several pools; of files with the same name, the first one."""
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
