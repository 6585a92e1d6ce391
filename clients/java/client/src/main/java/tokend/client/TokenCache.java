package tokend.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.PriorityQueue;
import java.util.Queue;
import java.util.Set;
import java.util.WeakHashMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Caches the tokens of many users, with a {@link CachedTokenSource} for each. The key is the whole {@link
 * TokenRequest}. When the cache is full, it evicts a user without a token first, then the least recently used one. A
 * user who is evicted during a refresh is added again when the refresh returns a token. Thread-safe.
 */
public final class TokenCache implements AutoCloseable {
  /** The default maximum number of users. */
  public static final int DEFAULT_MAX_USERS = 10_000;

  private final Function<TokenRequest, CachedTokenSource> newSource;
  private final CachingPolicy policy;
  private final int maxUsers;
  private final Telemetry telemetry;
  private final ConcurrentMap<TokenRequest, Entry> entries = new ConcurrentHashMap<>();

  // Guarded by `this`, as is every change of `entries`. Evicted sources that are still referenced.
  private final Set<CachedTokenSource> evictedSources = Collections.newSetFromMap(new WeakHashMap<>());
  private final Set<Entry> withoutToken = new LinkedHashSet<>();
  private final Queue<Entry> leastRecentlyUsed = new PriorityQueue<>(Comparator.comparingLong(entry -> entry.queuedAt));
  private boolean closed;

  TokenCache(
      Function<TokenRequest, CachedTokenSource> newSource, CachingPolicy policy, int maxUsers, Telemetry telemetry) {
    if (maxUsers < 1) {
      throw new IllegalArgumentException("maxUsers must be positive: " + maxUsers);
    }
    this.newSource = newSource;
    this.policy = policy;
    this.maxUsers = maxUsers;
    this.telemetry = telemetry;
  }

  /**
   * Returns a valid token, as {@link TokenSource#token()} does.
   *
   * @param request identifies the user
   * @return the token
   * @throws TokendException when there is no token and the refresh failed
   */
  public Token token(TokenRequest request) {
    Reading now = policy.now();
    CachedTokenSource source = source(request, now.nanoTime());
    Token fresh = source.fresh(now);
    return fresh != null ? fresh : source.token();
  }

  /**
   * Returns a valid token, as {@link TokenSource#token(Duration)} does.
   *
   * @param request identifies the user
   * @param timeout the maximum time to wait
   * @return the token
   * @throws TokendException when there is no token and the refresh failed, or took longer
   */
  public Token token(TokenRequest request, Duration timeout) {
    Objects.requireNonNull(timeout, "timeout");
    return source(request).token(timeout);
  }

  /**
   * Returns a future of a valid token, as {@link TokenSource#tokenAsync()} does.
   *
   * @param request identifies the user
   * @return a future of the token, or of a {@link TokendException}
   */
  public CompletableFuture<Token> tokenAsync(TokenRequest request) {
    return source(request).tokenAsync();
  }

  /**
   * Returns the source of one user, which is created if there is none. The source continues to work after the user is
   * evicted; the cache then creates a new one on the next request.
   *
   * @param request identifies the user
   * @return the source
   * @throws TokendException when the cache is closed
   */
  public CachedTokenSource source(TokenRequest request) {
    return source(request, policy.nanoTime().getAsLong());
  }

  /**
   * Drops a user's token that another service has rejected, as {@link TokenSource#invalidate} does.
   *
   * @param request identifies the user
   * @param rejected the token
   */
  public void invalidate(TokenRequest request, Token rejected) {
    Objects.requireNonNull(rejected, "rejected");
    Entry found = entries.get(Objects.requireNonNull(request, "request"));
    if (found != null) {
      found.source.invalidate(rejected);
    }
  }

  /** Closes the sources of all users, including evicted ones. */
  @Override
  public void close() {
    // No lock is held, since woken callers may wait for other users of this cache.
    markClosed().forEach(CachedTokenSource::close);
  }

  private synchronized List<CachedTokenSource> markClosed() {
    closed = true;
    List<CachedTokenSource> sources = new ArrayList<>(evictedSources);
    entries.values().forEach(entry -> sources.add(entry.source));
    telemetry.usersChanged(-entries.size());
    entries.clear();
    evictedSources.clear();
    withoutToken.clear();
    leastRecentlyUsed.clear();
    return sources;
  }

  private CachedTokenSource source(TokenRequest request, long now) {
    Entry found = entries.get(Objects.requireNonNull(request, "request"));
    Entry entry = found != null ? found : add(request, now);
    if (now - entry.usedAt > 0) {
      entry.usedAt = now;
    }
    return entry.source;
  }

  private synchronized Entry add(TokenRequest request, long now) {
    if (closed) {
      throw SourceState.closedFailure();
    }
    Entry found = entries.get(request);
    if (found != null) {
      return found;
    }
    Entry entry = new Entry(request, newSource.apply(request), now);
    entry.source.onTokenLost(() -> markWithoutToken(entry));
    put(entry);
    withoutToken.add(entry);
    return entry;
  }

  private void put(Entry added) {
    while (entries.size() >= maxUsers) {
      Entry entry = oldestWithoutToken();
      if (entry != null) {
        evict(entry);
      } else {
        evictLeastRecentlyUsed();
      }
    }
    entries.put(added.request, added);
    telemetry.usersChanged(1);
  }

  /** Records that a user has lost its token, and is evicted first unless it gets another one. */
  private synchronized void markWithoutToken(Entry entry) {
    if (entries.get(entry.request) == entry) {
      withoutToken.add(entry);
    }
  }

  /** Returns the oldest entry without a token. Moves entries that have got a token to the queue of the others. */
  private @Nullable Entry oldestWithoutToken() {
    for (Iterator<Entry> seen = withoutToken.iterator(); seen.hasNext(); ) {
      Entry entry = seen.next();
      seen.remove();
      if (!entry.source.hasToken()) {
        if (entry.isQueued) {
          leastRecentlyUsed.remove(entry);
        }
        return entry;
      }
      if (!entry.isQueued) {
        enqueue(entry);
      }
    }
    return null;
  }

  /**
   * Drops the first entry of the queue, or queues it again if it was used since it was queued. Uses do not change the
   * queue, so that they need no lock.
   */
  private void evictLeastRecentlyUsed() {
    Entry entry = leastRecentlyUsed.remove();
    long usedAt = entry.usedAt;
    if (usedAt - entry.queuedAt > 0) {
      enqueue(entry);
    } else {
      evict(entry);
    }
  }

  private void enqueue(Entry entry) {
    entry.isQueued = true;
    entry.queuedAt = entry.usedAt;
    leastRecentlyUsed.add(entry);
  }

  private void evict(Entry entry) {
    entries.remove(entry.request);
    telemetry.evicted();
    keepUsable(entry);
  }

  /**
   * Keeps an evicted source usable for its owners, and lets a running refresh finish. {@link #close()} must find it.
   */
  private void keepUsable(Entry entry) {
    evictedSources.add(entry.source);
    CompletableFuture<Token> refresh = entry.source.refresh();
    if (refresh != null) {
      refresh.whenComplete(
          (token, failure) -> {
            if (token != null) {
              readmit(entry);
            }
          });
    }
  }

  private synchronized void readmit(Entry entry) {
    if (closed || entries.containsKey(entry.request)) {
      return;
    }
    put(entry);
    evictedSources.remove(entry.source);
    enqueue(entry);
  }

  private static final class Entry {
    final TokenRequest request;
    final CachedTokenSource source;
    volatile long usedAt;
    long queuedAt;
    boolean isQueued;

    Entry(TokenRequest request, CachedTokenSource source, long now) {
      this.request = request;
      this.source = source;
      this.usedAt = now;
      this.queuedAt = now;
    }
  }
}
