"""Validates the configuration of Istio's mesh, which is not a resource: its definition is a message (`MeshConfig`)."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc_tools  # type: ignore[import-untyped] # it has no types
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_tools import protoc
from tests.deploy.custom_resources import ISTIO_API, downloaded

_FILE, _MESSAGE = "mesh/v1alpha1/config.proto", "istio.mesh.v1alpha1.MeshConfig"


def problem(mesh_config: Mapping[str, Any]) -> str | None:
    """Returns the error of a configuration that does not fit the message, or None."""
    pool = _pool()
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(_MESSAGE))()
    try:
        json_format.ParseDict(dict(mesh_config), message, descriptor_pool=pool)
    except json_format.ParseError as error:
        return str(error)
    return None


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """Returns a separate pool: Istio's files include Google's in other versions than the default pool."""
    module = downloaded(ISTIO_API)
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    pool = descriptor_pool.DescriptorPool()
    with TemporaryDirectory() as directory:
        out = Path(directory, "descriptors")
        folders = [f"-I{each}" for each in (module, module / "common-protos", well_known)]
        code = protoc.main(["protoc", *folders, "--include_imports", f"--descriptor_set_out={out}", _FILE])
        assert code == 0, "protoc has refused Istio's files"
        for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
            pool.Add(file)
    return pool
