#!/bin/sh
# Generates the Go of the contract into tokendv1, or into the directory that is given.
# protoc is the repository's own, of grpcio-tools; its Go plugins are tools of tools/go.mod.
set -eu
cd "$(dirname "$0")"
out=${1:-tokendv1}
mkdir -p "$out"
plugins=$(mktemp -d)
trap 'rm -r "$plugins"' EXIT
# Unlike "go tool", "go run" builds with the flags in GOFLAGS, and links a program once, unlike "go install".
for plugin in protobuf/cmd/protoc-gen-go grpc/cmd/protoc-gen-go-grpc; do
    go run -modfile=tools/go.mod -exec cp "google.golang.org/$plugin" "$plugins"
done
PATH="$plugins:$PATH" uv run -q --no-sync python -m grpc_tools.protoc -I../../proto \
    --go_out="$out" --go_opt=module=tokend.internal/go/tokendv1 \
    --go-grpc_out="$out" --go-grpc_opt=module=tokend.internal/go/tokendv1 \
    tokend/v1/developer_identity_service.proto tokend/v1/error_reason.proto
