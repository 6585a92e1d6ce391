package example.spring;

import io.grpc.Status;
import org.springframework.http.HttpStatus;
import org.springframework.http.ProblemDetail;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.RestControllerAdvice;
import org.springframework.web.client.RestClient;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;
import tokend.client.TokenSource;
import tokend.client.TokendException;
import tokend.spring.RestClientTokens;
import tokend.spring.TokendClientHttpRequestInterceptor;

final class Attached {
  private static final String POOL = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21";
  private static final String PROVIDER = "login.example.internal";

  static RestClient ofTheApplication(RestClient.Builder builder, RestClientTokens tokens, TokenSource source) {
    return builder.baseUrl("https://stock.example.internal").apply(tokens.of(source)).build();
  }

  static RestClient ofItsUsers(RestClient.Builder builder, RestClientTokens tokens, TokenCache cache) {
    var interceptor = new TokendClientHttpRequestInterceptor(request -> cache.source(currentUser()));
    return builder.baseUrl("https://stock.example.internal").apply(tokens.by(interceptor)).build();
  }

  private static TokenRequest currentUser() {
    return TokenRequest.of(POOL, PROVIDER, SecurityContextHolder.getContext().getAuthentication().getName());
  }

  private Attached() {}

  @RestControllerAdvice
  static final class WithoutToken {
    @ExceptionHandler
    ProblemDetail answer(TokendException e) {
      return ProblemDetail.forStatus(
          e.downstreamCode() == Status.Code.PERMISSION_DENIED ? HttpStatus.FORBIDDEN : HttpStatus.SERVICE_UNAVAILABLE);
    }
  }
}
