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
 * thread: a call that must wait for a token is held back until there is one.
 *
 * <p>Calls on connections without TLS fail with UNAUTHENTICATED, unless {@link #allowingPlaintext()} is asked for. Where
 * there is no token, calls fail with {@link TokendException#downstreamCode()}. {@link TokendClientInterceptor} does the
 * same and tries a rejected call again.
 */
public final class TokendCallCredentials extends CallCredentials {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** What a call fails with whose token others could read. */
  static final Status NOT_PRIVATE =
      Status.UNAUTHENTICATED.withDescription("tokens are not sent over a connection without TLS");

  private final TokenSource source;
  private final boolean plaintextAllowed;

  /**
   * Takes the tokens of a source.
   *
   * @param source the source, which the caller goes on to own
   */
  public TokendCallCredentials(TokenSource source) {
    this(Objects.requireNonNull(source, "source"), false);
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
    apply(requestInfo, applier, token -> {});
  }

  /** Does the same, and hands out the token that the call bears. */
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
