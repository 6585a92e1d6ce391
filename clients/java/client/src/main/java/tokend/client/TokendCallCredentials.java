package tokend.client;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Attaches the token of a source to the calls of any gRPC stub, as {@code authorization: Bearer}. It never blocks a
 * thread: a call without a token is delayed until there is one.
 *
 * <p>Calls on connections without TLS fail with UNAUTHENTICATED, unless {@link #allowingPlaintext()} is used. Without a
 * token, calls fail with {@link TokendException#downstreamCode()}. {@link TokendClientInterceptor} does the same and
 * also retries a rejected call.
 */
public final class TokendCallCredentials extends CallCredentials {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** The status of calls on connections without TLS. */
  static final Status NOT_PRIVATE =
      Status.UNAUTHENTICATED.withDescription("tokens are not sent over a connection without TLS");

  private final TokenSource source;
  private final boolean plaintextAllowed;

  /**
   * Creates credentials from a source.
   *
   * @param source the source; the caller remains responsible for closing it
   */
  public TokendCallCredentials(TokenSource source) {
    this(Objects.requireNonNull(source, "source"), false);
  }

  private TokendCallCredentials(TokenSource source, boolean plaintextAllowed) {
    this.source = source;
    this.plaintextAllowed = plaintextAllowed;
  }

  /**
   * Returns credentials that also send tokens over connections without TLS: for the loopback, and for a sidecar that
   * adds TLS.
   *
   * @return credentials with the same source
   */
  public TokendCallCredentials allowingPlaintext() {
    return new TokendCallCredentials(source, true);
  }

  @Override
  public void applyRequestMetadata(RequestInfo requestInfo, Executor appExecutor, MetadataApplier applier) {
    apply(requestInfo, applier, token -> {});
  }

  /** Applies the credentials, and passes the call's token to a consumer. */
  void apply(RequestInfo requestInfo, MetadataApplier applier, Consumer<Token> attached) {
    if (!plaintextAllowed && !isPrivate(requestInfo)) {
      applier.fail(NOT_PRIVATE);
      return;
    }
    source.tokenAsync().whenComplete((token, failure) -> apply(applier, attached, token, failure));
  }

  private static void apply(
      MetadataApplier applier,
      Consumer<Token> attached,
      @Nullable Token token,
      @Nullable Throwable failure) {
    if (token != null) {
      attached.accept(token);
      applier.apply(authorization(token.value()));
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
    return Status.fromCode(failure.downstreamCode())
        .withDescription("no token: " + failure.getMessage())
        .withCause(failure);
  }
}
