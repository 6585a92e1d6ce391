package tokend.verifier;

import jakarta.servlet.DispatcherType;
import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A servlet filter that accepts requests with a valid token ({@code Authorization: Bearer}), and puts its {@link
 * Identity} into the request, for {@link #current}. It responds to other requests with 401 and a challenge (RFC 6750,
 * section 3), or with 503 and {@code Retry-After} if the issuer's keys are not available. The reason for a rejection is
 * logged to {@code tokend.verifier} at level DEBUG, and not sent to the caller.
 *
 * <p>The identity belongs to the request, not to a thread: asynchronous requests have it on any thread, and keep it
 * when they are dispatched again. If servlets use asynchronous requests, register the filter with support for them. It
 * may block while keys are fetched.
 */
public final class IdentityFilter implements Filter {
  /** The request attribute that holds the {@link Identity}. */
  public static final String ATTRIBUTE = "tokend.identity";

  private static final String RETRY_AFTER_SECONDS = "1";

  private final TokenVerifier verifier;
  private final Set<String> openPaths;

  /**
   * Creates a filter.
   *
   * @param verifier verifies the tokens
   * @param openPaths exact paths in the application that require no token, such as {@code /healthz}; requests for them
   *     have no identity
   */
  public IdentityFilter(TokenVerifier verifier, String... openPaths) {
    this.verifier = Objects.requireNonNull(verifier, "verifier");
    this.openPaths = Set.of(openPaths);
  }

  /**
   * Returns the caller of a request.
   *
   * @param request the request
   * @return the identity of the request's token
   * @throws IllegalStateException if the request has not passed this filter with a token
   */
  public static Identity current(ServletRequest request) {
    if (request.getAttribute(ATTRIBUTE) instanceof Identity identity) {
      return identity;
    }
    throw new IllegalStateException("the request has not passed an IdentityFilter with a token");
  }

  @Override
  public void doFilter(ServletRequest request, ServletResponse response, FilterChain chain)
      throws IOException, ServletException {
    if (!(request instanceof HttpServletRequest http) || !(response instanceof HttpServletResponse answer)) {
      throw new ServletException("only HTTP requests can have tokens");
    }
    if (isVerified(http) || openPaths.contains(path(http))) {
      chain.doFilter(request, response);
      return;
    }
    Identity identity = identityOrRefusal(http, answer);
    if (identity != null) {
      request.setAttribute(ATTRIBUTE, identity);
      chain.doFilter(request, response);
    }
  }

  /** Reports whether this is a later dispatch of a verified request. The first dispatch is always verified. */
  private static boolean isVerified(HttpServletRequest request) {
    return request.getDispatcherType() != DispatcherType.REQUEST
        && request.getAttribute(ATTRIBUTE) instanceof Identity;
  }

  /** Returns the path by which the container selected the servlet: decoded, and without parameters. */
  private static String path(HttpServletRequest request) {
    String rest = request.getPathInfo();
    return rest == null ? request.getServletPath() : request.getServletPath() + rest;
  }

  private @Nullable Identity identityOrRefusal(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    String token = Authorization.bearerToken(Collections.list(request.getHeaders("Authorization")).iterator());
    if (token == null) {
      response.setHeader("WWW-Authenticate", "Bearer");
      refuse(response, HttpServletResponse.SC_UNAUTHORIZED, Authorization.REJECTED);
      return null;
    }
    try {
      return verifier.verify(token);
    } catch (TokenRejectedException e) {
      Authorization.log(e);
      response.setHeader(
          "WWW-Authenticate",
          "Bearer error=\"invalid_token\", error_description=\"" + Authorization.REJECTED + "\"");
      refuse(response, HttpServletResponse.SC_UNAUTHORIZED, Authorization.REJECTED);
    } catch (KeysUnavailableException e) {
      Authorization.log(e);
      response.setHeader("Retry-After", RETRY_AFTER_SECONDS);
      refuse(response, HttpServletResponse.SC_SERVICE_UNAVAILABLE, Authorization.UNAVAILABLE);
    }
    return null;
  }

  /** Writes the response itself: `sendError` would dispatch to the application's error page without an identity. */
  private static void refuse(HttpServletResponse response, int status, String text) throws IOException {
    byte[] body = (text + "\n").getBytes(StandardCharsets.UTF_8);
    response.setStatus(status);
    response.setContentType("text/plain;charset=utf-8");
    response.setContentLength(body.length);
    response.getOutputStream().write(body);
  }
}
