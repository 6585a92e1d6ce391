#!/bin/sh
# Generates the Go of the contract into tokendv1, or into the directory that is given.
# protoc is the repository's own, of grpcio-tools; its Go plugins are tools of tools/go.mod.
set -eu
cd "$(dirname "$0")"
out=${1:-tokendv1}
mkdir -p "$out"
tool() { go tool -modfile=tools/go.mod -n "$1"; }
uv run -q --no-sync python -m grpc_tools.protoc -I../../proto \
    --plugin="protoc-gen-go=$(tool protoc-gen-go)" --go_out="$out" --go_opt=module=tokend.internal/go/tokendv1 \
    --plugin="protoc-gen-go-grpc=$(tool protoc-gen-go-grpc)" --go-grpc_out="$out" \
    --go-grpc_opt=module=tokend.internal/go/tokendv1 \
    tokend/v1/developer_identity_service.proto tokend/v1/error_reason.proto
