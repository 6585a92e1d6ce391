package tokend.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.MethodDescriptor;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * A call with one response, as a future that completes with the response or a {@link TokendException} when the call
 * ends. Cancelling the future cancels the call.
 */
final class UnaryCall<R, T> implements StreamObserver<R> {
  private final CompletableFuture<T> future = new CompletableFuture<>();
  private final Function<R, T> conversion;

  // Written and read by one thread at a time: gRPC calls a listener serially.
  private @Nullable R answer;

  private UnaryCall(Function<R, T> conversion) {
    this.conversion = conversion;
  }

  static <Q, R, T> CompletableFuture<T> start(
      Channel channel, MethodDescriptor<Q, R> method, CallOptions options, Q request, Function<R, T> conversion) {
    ClientCall<Q, R> call = channel.newCall(method, options);
    UnaryCall<R, T> unary = new UnaryCall<>(conversion);
    ClientCalls.asyncUnaryCall(call, request, unary);
    unary.cancelWith(call);
    return unary.future;
  }

  private void cancelWith(ClientCall<?, ?> call) {
    future.whenComplete(
        (answer, failure) -> {
          if (future.isCancelled()) {
            call.cancel("cancelled by the caller", null);
          }
        });
  }

  @Override
  public void onNext(R response) {
    answer = response;
  }

  @Override
  public void onError(Throwable failure) {
    future.completeExceptionally(Failures.toTokendException(failure));
  }

  @Override
  public void onCompleted() {
    try {
      future.complete(conversion.apply(received()));
    } catch (RuntimeException e) {
      future.completeExceptionally(Failures.toTokendException(e));
    }
  }

  private R received() {
    if (answer == null) {
      throw new ProtocolException("no message");
    }
    return answer;
  }
}
