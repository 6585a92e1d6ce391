package tokend.client;

import io.grpc.CallOptions;
import io.grpc.ConnectivityState;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import tokend.v1.DeveloperIdentityServiceGrpc;

/**
 * A client of the tokend service. Each operation has a blocking form and one that returns a future; both fail with a
 * {@link TokendException}. Thread-safe: use one client per process, and close it at shutdown.
 *
 * <p>Calls are balanced over all healthy addresses of the target, retried where that is safe, and have a deadline. The
 * client itself caches nothing: use {@link #tokenSource} or {@link #tokenCache} to cache tokens.
 */
public final class Client implements AutoCloseable {
  private final ManagedChannel channel;
  private final Reconnection reconnection;
  private final Refreshes refreshes;
  private final Duration deadline;

  Client(ManagedChannel channel, Duration deadline, Telemetry telemetry) {
    this(channel, Reconnection.of(channel), new Refreshes(telemetry), deadline);
  }

  private Client(ManagedChannel channel, Reconnection reconnection, Refreshes refreshes, Duration deadline) {
    this.channel = channel;
    this.reconnection = reconnection;
    this.refreshes = refreshes;
    this.deadline = ClientBuilder.requirePositive(deadline, "deadline");
  }

  /**
   * Returns a builder of a client that uses TLS and trusts the JVM's certificate authorities.
   *
   * @param target the gRPC target of tokend: {@code HOST:PORT}, {@code dns:///HOST:PORT} or {@code unix:PATH}
   * @return a builder
   */
  public static ClientBuilder builder(String target) {
    return new ClientBuilder(Objects.requireNonNull(target, "target"));
  }

  /**
   * Returns a client with another deadline for calls.
   *
   * @param value the deadline; at most the builder's deadline applies
   * @return a client with the same connections; closing either client closes both
   */
  public Client withDeadline(Duration value) {
    return new Client(channel, reconnection, refreshes, value);
  }

  /**
   * Registers or retrieves the identity of a user, and issues a token for it.
   *
   * @param request identifies the user
   * @return a new token for each call
   * @throws TokendException when the call fails
   */
  public Token getOpenIdTokenForDeveloperIdentity(TokenRequest request) {
    return await(getOpenIdTokenForDeveloperIdentityAsync(request));
  }

  /**
   * Registers or retrieves the identity of a user, and issues a token for it.
   *
   * @param request identifies the user
   * @return a future of a new token, or of a {@link TokendException}; cancelling it cancels the call
   */
  public CompletableFuture<Token> getOpenIdTokenForDeveloperIdentityAsync(TokenRequest request) {
    return call(
        DeveloperIdentityServiceGrpc.getGetOpenIdTokenForDeveloperIdentityMethod(),
        Conversions.toMessage(Objects.requireNonNull(request, "request")),
        Conversions::toToken);
  }

  /**
   * Finds the identity id of a user, or the users of an identity id.
   *
   * @param request the user, the identity, or both
   * @return the identity and its users
   * @throws TokendException when the call fails
   */
  public LookupResult lookupDeveloperIdentity(LookupRequest request) {
    return await(lookupDeveloperIdentityAsync(request));
  }

  /**
   * Finds the identity id of a user, or the users of an identity id.
   *
   * @param request the user, the identity, or both
   * @return a future of the result, or of a {@link TokendException}; cancelling it cancels the call
   */
  public CompletableFuture<LookupResult> lookupDeveloperIdentityAsync(LookupRequest request) {
    return call(
        DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod(),
        Conversions.toMessage(Objects.requireNonNull(request, "request")),
        Conversions::toResult);
  }

  /**
   * Merges two users: all logins of the source user's identity move to the destination user's.
   *
   * @param request both users
   * @return the identity id that they now share
   * @throws TokendException when the call fails
   */
  public String mergeDeveloperIdentities(MergeRequest request) {
    return await(mergeDeveloperIdentitiesAsync(request));
  }

  /**
   * Merges two users: all logins of the source user's identity move to the destination user's.
   *
   * @param request both users
   * @return a future of the identity id that they now share, or of a {@link TokendException}; cancelling it cancels the
   *     call
   */
  public CompletableFuture<String> mergeDeveloperIdentitiesAsync(MergeRequest request) {
    return call(
        DeveloperIdentityServiceGrpc.getMergeDeveloperIdentitiesMethod(),
        Conversions.toMessage(Objects.requireNonNull(request, "request")),
        response -> response.getIdentityId());
  }

  /**
   * Unlinks a user from an identity.
   *
   * @param request the user and the identity
   * @throws TokendException when the call fails; a repeated call fails with {@link ErrorReason#RESOURCE_NOT_FOUND}
   */
  public void unlinkDeveloperIdentity(UnlinkRequest request) {
    await(unlinkDeveloperIdentityAsync(request));
  }

  /**
   * Unlinks a user from an identity.
   *
   * @param request the user and the identity
   * @return a future that completes when the user is unlinked, or with a {@link TokendException}; cancelling it cancels
   *     the call
   */
  public CompletableFuture<@Nullable Void> unlinkDeveloperIdentityAsync(UnlinkRequest request) {
    return call(
        DeveloperIdentityServiceGrpc.getUnlinkDeveloperIdentityMethod(),
        Conversions.toMessage(Objects.requireNonNull(request, "request")),
        response -> null);
  }

  /**
   * Creates a source that caches the token of one user.
   *
   * @param request identifies the user
   * @return a source, to be closed before this client
   */
  public CachedTokenSource tokenSource(TokenRequest request) {
    return tokenSource(request, CachingPolicy.defaults());
  }

  /**
   * Creates a source that caches the token of one user.
   *
   * @param request identifies the user
   * @param policy the caching policy
   * @return a source, to be closed before this client
   */
  public CachedTokenSource tokenSource(TokenRequest request, CachingPolicy policy) {
    Objects.requireNonNull(request, "request");
    Client refreshing = withDeadline(Objects.requireNonNull(policy, "policy").refreshTimeout());
    return new CachedTokenSource(request, () -> refreshing.detachedToken(request), policy, refreshes);
  }

  /**
   * Creates a cache of the tokens of many users.
   *
   * @return a cache, to be closed before this client
   */
  public TokenCache tokenCache() {
    return tokenCache(CachingPolicy.defaults(), TokenCache.DEFAULT_MAX_USERS);
  }

  /**
   * Creates a cache of the tokens of many users.
   *
   * @param policy the caching policy
   * @param maxUsers the maximum number of users, 1 or more
   * @return a cache, to be closed before this client
   */
  public TokenCache tokenCache(CachingPolicy policy, int maxUsers) {
    Objects.requireNonNull(policy, "policy");
    return new TokenCache(request -> tokenSource(request, policy), policy, maxUsers, refreshes.telemetry());
  }

  /**
   * Returns whether tokend is reachable, by the state of the connections, which watch the health of their replicas. It
   * makes no call, but connects the client if it is idle.
   *
   * @return READY: at least one replica is healthy; TRANSIENT_FAILURE: none is; IDLE or CONNECTING: not known yet
   */
  public ConnectivityState connectivity() {
    return channel.getState(true);
  }

  /** Cancels all calls and closes all connections. */
  @Override
  public void close() {
    channel.shutdownNow();
  }

  /**
   * Starts a call outside the current gRPC context, so that the first caller's deadline and cancellation do not affect
   * it.
   */
  private CompletableFuture<Token> detachedToken(TokenRequest request) {
    Context caller = Context.ROOT.attach();
    try {
      return getOpenIdTokenForDeveloperIdentityAsync(request);
    } finally {
      Context.ROOT.detach(caller);
    }
  }

  private <Q, R, T> CompletableFuture<T> call(MethodDescriptor<Q, R> method, Q request, Function<R, T> conversion) {
    reconnection.resetBackoff();
    CallOptions options =
        CallOptions.DEFAULT
            .withDeadlineAfter(TimeUnit.NANOSECONDS.convert(deadline), TimeUnit.NANOSECONDS)
            .withStreamTracerFactory(PushbackFilter.INSTANCE);
    return UnaryCall.start(channel, method, options, request, conversion);
  }

  private static <T> T await(CompletableFuture<T> answer) {
    try {
      return Futures.await(answer);
    } finally {
      answer.cancel(false);
    }
  }
}
