package tokend.client;

import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.CompositeCallCredentials;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.Objects;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * Attaches the token of a source to calls, as {@link TokendCallCredentials} does, and retries a call once with a new
 * token when the called service returns UNAUTHENTICATED, which credentials alone cannot do. The rejected token is
 * dropped from its source. Calls with a stream of requests, and calls with a response that has begun, are not retried,
 * but the next call gets a new token.
 */
public final class TokendClientInterceptor implements ClientInterceptor {
  private final TokenSource source;
  private final TokendCallCredentials credentials;

  /**
   * Creates an interceptor from a source.
   *
   * @param source the source; the caller remains responsible for closing it
   */
  public TokendClientInterceptor(TokenSource source) {
    this(Objects.requireNonNull(source, "source"), new TokendCallCredentials(source));
  }

  private TokendClientInterceptor(TokenSource source, TokendCallCredentials credentials) {
    this.source = source;
    this.credentials = credentials;
  }

  /**
   * Returns an interceptor that also sends tokens over connections without TLS: for the loopback, and for a sidecar
   * that adds TLS.
   *
   * @return an interceptor with the same source
   */
  public TokendClientInterceptor allowingPlaintext() {
    return new TokendClientInterceptor(source, credentials.allowingPlaintext());
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    RecordingCredentials first = new RecordingCredentials();
    ClientCall<Q, R> call = new InvalidatingCall<>(next.newCall(method, withCredentials(options, first)), first);
    if (!method.getType().clientSendsOneMessage()) {
      return call;
    }
    return new RepeatableCall<>(
        call,
        status ->
            first.rejectedBy(status) == null ? null : next.newCall(method, withCredentials(options, credentials)));
  }

  private static CallOptions withCredentials(CallOptions options, CallCredentials added) {
    CallCredentials others = options.getCredentials();
    return options.withCallCredentials(others == null ? added : new CompositeCallCredentials(others, added));
  }

  /** The credentials of one attempt, which record its token. */
  private final class RecordingCredentials extends CallCredentials {
    private volatile @Nullable Token token;

    @Override
    public void applyRequestMetadata(RequestInfo requestInfo, Executor appExecutor, MetadataApplier applier) {
      credentials.apply(requestInfo, applier, attached -> token = attached);
    }

    /** Returns the token, if the call was rejected because of it. */
    @Nullable Token rejectedBy(Status status) {
      return status.getCode() == Status.Code.UNAUTHENTICATED ? token : null;
    }
  }

  /** A call that drops its token if it was rejected because of it, before it reports its status to the listener. */
  private final class InvalidatingCall<Q, R> extends SimpleForwardingClientCall<Q, R> {
    private final RecordingCredentials attached;

    InvalidatingCall(ClientCall<Q, R> call, RecordingCredentials attached) {
      super(call);
      this.attached = attached;
    }

    @Override
    public void start(Listener<R> listener, Metadata headers) {
      super.start(
          new SimpleForwardingClientCallListener<>(listener) {
            @Override
            public void onClose(Status status, Metadata trailers) {
              Token rejected = attached.rejectedBy(status);
              if (rejected != null) {
                source.invalidate(rejected);
              }
              super.onClose(status, trailers);
            }
          },
          headers);
    }
  }
}
