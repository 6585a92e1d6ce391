package example;

import io.grpc.ServerBuilder;
import jakarta.servlet.Filter;
import jakarta.servlet.http.HttpServletRequest;
import tokend.verifier.IdentityFilter;
import tokend.verifier.IdentityInterceptor;
import tokend.verifier.TokenVerifier;

final class Verified {
  private static final String POOL = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21";

  static ServerBuilder<?> guarded(ServerBuilder<?> server) {
    TokenVerifier verifier = TokenVerifier.builder("https://tokend.example.internal", POOL).build();
    return server.intercept(new IdentityInterceptor(verifier));
  }

  static String whoCalls() {
    return "identity " + IdentityInterceptor.current().identityId();
  }

  static Filter filter() {
    TokenVerifier verifier = TokenVerifier.builder("https://tokend.example.internal", POOL).build();
    return new IdentityFilter(verifier, "/healthz");
  }

  static String whoAsks(HttpServletRequest request) {
    return "identity " + IdentityFilter.current(request).identityId();
  }

  private Verified() {}
}
