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
 * Lets calls pass that bear a valid token ({@code authorization: Bearer}), and puts its {@link Identity} into their gRPC
 * context. Others end with UNAUTHENTICATED, or with UNAVAILABLE where the keys of the issuer cannot be had. Why a token was
 * rejected goes to the logger {@code tokend.verifier} at level DEBUG, not to the caller. Calls of gRPC's health service pass
 * without an identity.
 *
 * <p>It may block while keys are fetched, so the server must not run calls on its transport's threads ({@code
 * directExecutor}).
 */
public final class IdentityInterceptor implements ServerInterceptor {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Context.Key<Identity> IDENTITY = Context.key("tokend-identity");
  private static final String HEALTH = "grpc.health.v1.Health";

  private final TokenVerifier verifier;

  /**
   * Makes an interceptor.
   *
   * @param verifier verifies the tokens
   */
  public IdentityInterceptor(TokenVerifier verifier) {
    this.verifier = Objects.requireNonNull(verifier, "verifier");
  }

  /**
   * Who makes the call that is being served.
   *
   * @return the identity of the token that the call bears
   * @throws IllegalStateException when the current gRPC context is not one of a call that passed this interceptor
   */
  public static Identity current() {
    Identity identity = IDENTITY.get();
    if (identity == null) {
      throw new IllegalStateException("no call that passed an IdentityInterceptor is being served");
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
