"""Takes the descriptors of Envoy's services from xds-protos when the package is built."""

from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: What tokend serves, and what is packed into messages of it.
MODULES = (
    "envoy.extensions.transport_sockets.tls.v3.secret_pb2",
    "envoy.service.auth.v3.external_auth_pb2",
    "envoy.service.secret.v3.sds_pb2",
)

TARGET = "tokend_envoy_proto/descriptors.binpb"


class DescriptorsHook(BuildHookInterface):
    """Writes the file of descriptors before it is packed; in an editable install, into the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version, build_data
        if self.target_name != "wheel":
            return
        found: dict[str, FileDescriptor] = {}
        for module in MODULES:
            _collect(import_module(module).DESCRIPTOR, found)
        files = FileDescriptorSet()
        for descriptor in found.values():
            descriptor.CopyToProto(files.file.add())
        Path(self.root, TARGET).write_bytes(files.SerializeToString(deterministic=True))


def _collect(file: FileDescriptor, found: dict[str, FileDescriptor]) -> None:
    """Adds a file after all that it imports."""
    if file.name not in found:
        for dependency in file.dependencies:
            _collect(dependency, found)
        found[file.name] = file
