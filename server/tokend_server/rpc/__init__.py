"""The gRPC API: listeners, threads, the layers around a call, the operations, and the statuses of errors."""
