package tokend.conformance;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;

/** Counts token calls. */
final class CallCounter implements ClientInterceptor {
  private int calls;
  private int running;
  private int most;

  synchronized int calls() {
    return calls;
  }

  /** The maximum number of concurrent calls. */
  synchronized int most() {
    return most;
  }

  synchronized void awaitCall() throws InterruptedException {
    while (running == 0) {
      wait();
    }
  }

  private synchronized void began() {
    calls++;
    running++;
    most = Math.max(most, running);
    notifyAll();
  }

  private synchronized void ended() {
    running--;
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    ClientCall<Q, R> call = next.newCall(method, options);
    return Operations.GET_TOKEN.equals(method.getBareMethodName()) ? new Counted<>(call) : call;
  }

  private final class Counted<Q, R> extends SimpleForwardingClientCall<Q, R> {
    Counted(ClientCall<Q, R> call) {
      super(call);
    }

    @Override
    public void start(Listener<R> listener, Metadata headers) {
      began();
      super.start(
          new SimpleForwardingClientCallListener<>(listener) {
            @Override
            public void onClose(Status status, Metadata trailers) {
              ended();
              super.onClose(status, trailers);
            }
          },
          headers);
    }
  }
}
