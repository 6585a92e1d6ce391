"""The gRPC face: listeners, threads, the layers around a call, the operations, and the statuses of failures."""
