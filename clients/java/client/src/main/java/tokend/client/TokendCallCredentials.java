package tokend.client;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import java.util.Set;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * Attaches the token of a source to the calls of any gRPC stub, as {@code authorization: Bearer}. It never blocks a
 * thread: a call that must wait for a token is held back until there is one.
 *
 * <p>Calls on connections without TLS fail with UNAUTHENTICATED, unless {@link #allowingPlaintext()} is asked for. Where
 * there is no token, calls fail with UNAVAILABLE if a later try may get one, and with UNAUTHENTICATED if not.
 */
public final class TokendCallCredentials extends CallCredentials {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** What a call fails with whose token others could read. */
  static final Status NOT_PRIVATE =
      Status.UNAUTHENTICATED.withDescription("tokens are not sent over a connection without TLS");

  private static final Set<Status.Code> TRANSIENT =
      Set.of(
          Status.Code.UNAVAILABLE,
          Status.Code.CANCELLED,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.RESOURCE_EXHAUSTED);

  private final TokenSource source;
  private final boolean plaintextAllowed;

  /**
   * Takes the tokens of a source.
   *
   * @param source the source, which the caller goes on to own
   */
  public TokendCallCredentials(TokenSource source) {
    this(source, false);
  }

  private TokendCallCredentials(TokenSource source, boolean plaintextAllowed) {
    this.source = source;
    this.plaintextAllowed = plaintextAllowed;
  }

  /**
   * Sends tokens over connections without TLS, too: for the loopback, and for a sidecar that adds TLS.
   *
   * @return credentials of the same source
   */
  public TokendCallCredentials allowingPlaintext() {
    return new TokendCallCredentials(source, true);
  }

  @Override
  public void applyRequestMetadata(RequestInfo requestInfo, Executor appExecutor, MetadataApplier applier) {
    if (!plaintextAllowed && !isPrivate(requestInfo)) {
      applier.fail(NOT_PRIVATE);
      return;
    }
    source.tokenAsync().whenComplete((snapshot, failure) -> apply(applier, snapshot, failure));
  }

  private static void apply(
      MetadataApplier applier, @Nullable TokenSnapshot snapshot, @Nullable Throwable failure) {
    if (snapshot != null) {
      applier.apply(authorization(snapshot.token()));
    } else if (failure != null) {
      applier.fail(toStatus(Failures.toTokendException(failure)));
    }
  }

  static boolean isPrivate(RequestInfo requestInfo) {
    return requestInfo.getSecurityLevel() == SecurityLevel.PRIVACY_AND_INTEGRITY;
  }

  static Metadata authorization(String token) {
    Metadata headers = new Metadata();
    headers.put(AUTHORIZATION, "Bearer " + token);
    return headers;
  }

  private static Status toStatus(TokendException failure) {
    Status status = TRANSIENT.contains(failure.code()) ? Status.UNAVAILABLE : Status.UNAUTHENTICATED;
    return status.withDescription("no token: " + failure.getMessage()).withCause(failure);
  }
}
