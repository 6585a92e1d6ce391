"""Envoy's authorization and secret discovery services, as descriptors of their messages."""

from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet

__all__ = ["file_descriptors"]


def file_descriptors() -> FileDescriptorSet:
    """The files that define the services, each after those that it imports."""
    return FileDescriptorSet.FromString(files(__name__).joinpath("descriptors.binpb").read_bytes())
