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
 * Attaches the token of a source to calls, as {@link TokendCallCredentials} does, and makes a call once more with a new
 * token when the other service answers UNAUTHENTICATED: credentials alone cannot. The rejected token is dropped from its
 * source. Calls of which the client may send more than one message, and those that have begun to answer, are not made again,
 * but the next call has another token.
 */
public final class TokendClientInterceptor implements ClientInterceptor {
  private final TokenSource source;
  private final TokendCallCredentials credentials;

  /**
   * Takes the tokens of a source.
   *
   * @param source the source, which the caller goes on to own
   */
  public TokendClientInterceptor(TokenSource source) {
    this(Objects.requireNonNull(source, "source"), new TokendCallCredentials(source));
  }

  private TokendClientInterceptor(TokenSource source, TokendCallCredentials credentials) {
    this.source = source;
    this.credentials = credentials;
  }

  /**
   * Sends tokens over connections without TLS, too: for the loopback, and for a sidecar that adds TLS.
   *
   * @return an interceptor of the same source
   */
  public TokendClientInterceptor allowingPlaintext() {
    return new TokendClientInterceptor(source, credentials.allowingPlaintext());
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    Attached first = new Attached();
    ClientCall<Q, R> call = new DroppingCall<>(next.newCall(method, with(options, first)), first);
    if (!method.getType().clientSendsOneMessage()) {
      return call;
    }
    return new RepeatableCall<>(
        call,
        status -> first.rejectedBy(status) == null ? null : next.newCall(method, with(options, credentials)));
  }

  private static CallOptions with(CallOptions options, CallCredentials added) {
    CallCredentials others = options.getCredentials();
    return options.withCallCredentials(others == null ? added : new CompositeCallCredentials(others, added));
  }

  /** The credentials of one attempt, which know the token that it bears. */
  private final class Attached extends CallCredentials {
    private volatile @Nullable Token token;

    @Override
    public void applyRequestMetadata(RequestInfo requestInfo, Executor appExecutor, MetadataApplier applier) {
      credentials.apply(requestInfo, applier, attached -> token = attached);
    }

    /** The token, if the call has failed because of it. */
    @Nullable Token rejectedBy(Status status) {
      return status.getCode() == Status.Code.UNAUTHENTICATED ? token : null;
    }
  }

  /** A call that drops its token when it has failed because of it, before anyone else learns how it has ended. */
  private final class DroppingCall<Q, R> extends SimpleForwardingClientCall<Q, R> {
    private final Attached attached;

    DroppingCall(ClientCall<Q, R> call, Attached attached) {
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
