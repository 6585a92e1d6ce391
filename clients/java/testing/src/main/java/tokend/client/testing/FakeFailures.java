package tokend.client.testing;

import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import org.jspecify.annotations.Nullable;
import tokend.v1.DeveloperIdentityServiceGrpc;

/** Counts calls, and fails those that are to fail. */
final class FakeFailures implements ServerInterceptor {
  private final Map<String, Integer> calls = new HashMap<>();
  private final Queue<Failure> next = new ArrayDeque<>();
  private @Nullable Failure standing;

  @Override
  public <Q, R> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> handler) {
    String service = call.getMethodDescriptor().getServiceName();
    Failure failure =
        DeveloperIdentityServiceGrpc.SERVICE_NAME.equals(service)
            ? count(String.valueOf(call.getMethodDescriptor().getBareMethodName()))
            : null;
    if (failure == null) {
      return handler.startCall(call, headers);
    }
    StatusRuntimeException thrown = failure.toException();
    Metadata trailers = Status.trailersFromThrowable(thrown);
    call.close(thrown.getStatus(), trailers == null ? new Metadata() : trailers);
    return new ServerCall.Listener<>() {};
  }

  private synchronized @Nullable Failure count(String operation) {
    calls.merge(operation, 1, Integer::sum);
    Failure once = next.poll();
    return once != null ? once : standing;
  }

  synchronized int calls(String operation) {
    return calls.getOrDefault(operation, 0);
  }

  synchronized void fail(Failure failure) {
    standing = failure;
  }

  synchronized void failNext(Failure failure) {
    next.add(failure);
  }

  synchronized void recover() {
    standing = null;
    next.clear();
  }
}
