package tokend.verifier;

import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
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
  private static final String SCHEME = "Bearer ";
  private static final System.Logger LOGGER = System.getLogger("tokend.verifier");

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
      LOGGER.log(System.Logger.Level.DEBUG, "token rejected: {0}", e.getMessage());
      return ended(call, Status.UNAUTHENTICATED.withDescription("a valid token is needed"));
    } catch (KeysUnavailableException e) {
      LOGGER.log(System.Logger.Level.WARNING, "tokens cannot be verified", e);
      return ended(call, Status.UNAVAILABLE.withDescription("tokens cannot be verified at the moment"));
    }
  }

  private static String token(Metadata headers) throws TokenRejectedException {
    List<String> values = new ArrayList<>();
    Iterable<String> found = headers.getAll(AUTHORIZATION);
    if (found != null) {
      found.forEach(values::add);
    }
    if (values.size() != 1 || !values.get(0).regionMatches(true, 0, SCHEME, 0, SCHEME.length())) {
      throw new TokenRejectedException("there is not exactly one bearer token");
    }
    return values.get(0).substring(SCHEME.length()).strip();
  }

  private static <Q, R> ServerCall.Listener<Q> ended(ServerCall<Q, R> call, Status status) {
    call.close(status, new Metadata());
    return new ServerCall.Listener<>() {};
  }
}
