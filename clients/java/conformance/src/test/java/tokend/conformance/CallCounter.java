package tokend.conformance;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import java.util.concurrent.atomic.AtomicInteger;

/** Counts the calls for tokens. */
final class CallCounter implements ClientInterceptor {
  private final AtomicInteger calls = new AtomicInteger();

  int calls() {
    return calls.get();
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    if (Operations.GET_TOKEN.equals(method.getBareMethodName())) {
      calls.incrementAndGet();
    }
    return next.newCall(method, options);
  }
}
