package tokend.verifier;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import java.util.Objects;

/**
 * A server interceptor that accepts calls with a valid token ({@code authorization: Bearer}), and puts its {@link
 * Identity} into their gRPC context. Other calls fail with UNAUTHENTICATED, or with UNAVAILABLE if the issuer's keys
 * are not available. The reason for a rejection is logged to {@code tokend.verifier} at level DEBUG, and not sent to
 * the caller. Calls of gRPC's health service require no token and have no identity.
 *
 * <p>It may block while keys are fetched, so the server must not run calls on its transport threads ({@code
 * directExecutor}).
 */
public final class IdentityInterceptor implements ServerInterceptor {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Context.Key<Identity> IDENTITY = Context.key("tokend-identity");
  private static final String HEALTH = "grpc.health.v1.Health";

  private final TokenVerifier verifier;

  /**
   * Creates an interceptor.
   *
   * @param verifier verifies the tokens
   */
  public IdentityInterceptor(TokenVerifier verifier) {
    this.verifier = Objects.requireNonNull(verifier, "verifier");
  }

  /**
   * Returns the caller of the current call.
   *
   * @return the identity of the call's token
   * @throws IllegalStateException if the current gRPC context is not that of a call that passed this interceptor
   */
  public static Identity current() {
    Identity identity = IDENTITY.get();
    if (identity == null) {
      throw new IllegalStateException("the current call has not passed an IdentityInterceptor with a token");
    }
    return identity;
  }

  @Override
  public <Q, R> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
    if (HEALTH.equals(call.getMethodDescriptor().getServiceName())) {
      return next.startCall(call, headers);
    }
    try {
      Identity identity = verifier.verify(token(headers));
      return Contexts.interceptCall(Context.current().withValue(IDENTITY, identity), call, headers, next);
    } catch (TokenRejectedException e) {
      Authorization.log(e);
      return ended(call, Status.UNAUTHENTICATED.withDescription(Authorization.REJECTED));
    } catch (KeysUnavailableException e) {
      Authorization.log(e);
      return ended(call, Status.UNAVAILABLE.withDescription(Authorization.UNAVAILABLE));
    }
  }

  private static String token(Metadata headers) throws TokenRejectedException {
    Iterable<String> values = headers.getAll(AUTHORIZATION);
    String token = values == null ? null : Authorization.bearerToken(values.iterator());
    if (token == null) {
      throw new TokenRejectedException("there is not exactly one bearer token");
    }
    return token;
  }

  private static <Q, R> ServerCall.Listener<Q> ended(ServerCall<Q, R> call, Status status) {
    call.close(status, new Metadata());
    return new ServerCall.Listener<>() {};
  }
}
