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
 * Keeps the tokens of many users, a {@link CachedTokenSource} each. The key is the whole {@link TokenRequest}. When it is
 * full, a user without a token makes room, or else the one whose token was asked for longest ago. Who makes room during a
 * refresh is back when it brings a token. Safe to use by many threads at once.
 */
public final class TokenCache implements AutoCloseable {
  /** How many users a cache holds if nothing else is said. */
  public static final int DEFAULT_MAX_USERS = 10_000;

  private final Function<TokenRequest, CachedTokenSource> newSource;
  private final CachingPolicy policy;
  private final int maxUsers;
  private final Telemetry telemetry;
  private final ConcurrentMap<TokenRequest, Entry> entries = new ConcurrentHashMap<>();

  // Guarded by `this`, as is every change of `entries`. Those that have made room, while someone has them.
  private final Set<CachedTokenSource> departed = Collections.newSetFromMap(new WeakHashMap<>());
  private final Set<Entry> withoutToken = new LinkedHashSet<>();
  private final Queue<Entry> leastRecentlyUsed = new PriorityQueue<>(Comparator.comparingLong(entry -> entry.queuedAt));
  private boolean closed;

  TokenCache(
      Function<TokenRequest, CachedTokenSource> newSource, CachingPolicy policy, int maxUsers, Telemetry telemetry) {
    if (maxUsers < 1) {
      throw new IllegalArgumentException("maxUsers must be 1 or more");
    }
    this.newSource = newSource;
    this.policy = policy;
    this.maxUsers = maxUsers;
    this.telemetry = telemetry;
  }

  /**
   * A token that is valid now, as {@link TokenSource#token()} gives it.
   *
   * @param request names the user
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
   * A token that is valid now, as {@link TokenSource#token(Duration)} gives it.
   *
   * @param request names the user
   * @param timeout how long to wait at the longest
   * @return the token
   * @throws TokendException when there is no token and the refresh failed, or took longer
   */
  public Token token(TokenRequest request, Duration timeout) {
    Objects.requireNonNull(timeout, "timeout");
    return source(request).token(timeout);
  }

  /**
   * A token that is valid when the future ends, as {@link TokenSource#tokenAsync()} gives it.
   *
   * @param request names the user
   * @return ends with the token or with a {@link TokendException}
   */
  public CompletableFuture<Token> tokenAsync(TokenRequest request) {
    return source(request).tokenAsync();
  }

  /**
   * The source of one user, which is made if there is none. It goes on to work when it has made room for another user;
   * the cache then makes a new one for whoever asks it.
   *
   * @param request names the user
   * @return the source
   * @throws TokendException when the cache is closed
   */
  public CachedTokenSource source(TokenRequest request) {
    return source(request, policy.nanoTime().getAsLong());
  }

  /**
   * Drops a user's token that another service has rejected, as {@link TokenSource#invalidate} does.
   *
   * @param request names the user
   * @param rejected the token
   */
  public void invalidate(TokenRequest request, Token rejected) {
    Objects.requireNonNull(rejected, "rejected");
    Entry found = entries.get(Objects.requireNonNull(request, "request"));
    if (found != null) {
      found.source.invalidate(rejected);
    }
  }

  /** Closes the sources of all users, of those who have made room, too. */
  @Override
  public void close() {
    // Who is woken may do what they like, and wait for others who use this cache: no lock is held.
    closing().forEach(CachedTokenSource::close);
  }

  private synchronized List<CachedTokenSource> closing() {
    closed = true;
    List<CachedTokenSource> sources = new ArrayList<>(departed);
    entries.values().forEach(entry -> sources.add(entry.source));
    telemetry.usersChanged(-entries.size());
    entries.clear();
    departed.clear();
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
    while (entries.size() >= maxUsers) {
      makeRoom();
    }
    Entry entry = new Entry(request, newSource.apply(request), now);
    entry.source.whenLost(() -> noteLoss(entry));
    entries.put(request, entry);
    withoutToken.add(entry);
    telemetry.usersChanged(1);
    return entry;
  }

  private void makeRoom() {
    Entry entry = oldestWithoutToken();
    if (entry != null) {
      drop(entry);
    } else {
      dropLeastRecentlyUsed();
    }
  }

  /** The token of a user is lost: without another one, the user makes room first. */
  private synchronized void noteLoss(Entry entry) {
    if (entries.get(entry.request) == entry) {
      withoutToken.add(entry);
    }
  }

  /** Entries that have got a token since are found here, and go to the queue of the others. */
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
   * Drops the least recently used entry, or finds that the first of the queue is not the one. Uses do not touch the
   * queue, so that they need no lock: an entry that was used since it was queued is queued again.
   */
  private void dropLeastRecentlyUsed() {
    Entry entry = leastRecentlyUsed.remove();
    long usedAt = entry.usedAt;
    if (usedAt - entry.queuedAt > 0) {
      enqueue(entry);
      return;
    }
    drop(entry);
  }

  private void enqueue(Entry entry) {
    entry.isQueued = true;
    entry.queuedAt = entry.usedAt;
    leastRecentlyUsed.add(entry);
  }

  private void drop(Entry entry) {
    entries.remove(entry.request);
    telemetry.evicted();
    leave(entry);
  }

  /** Lets a source go on for those who have it, and finish the refresh that others may wait for. Closing must find it. */
  private void leave(Entry entry) {
    departed.add(entry.source);
    CompletableFuture<Token> refresh = entry.source.refresh();
    if (refresh != null) {
      refresh.whenComplete(
          (token, failure) -> {
            if (token != null) {
              takeBack(entry);
            }
          });
    }
  }

  private synchronized void takeBack(Entry entry) {
    if (closed || entries.containsKey(entry.request)) {
      return;
    }
    while (entries.size() >= maxUsers) {
      makeRoom();
    }
    entries.put(entry.request, entry);
    departed.remove(entry.source);
    enqueue(entry);
    telemetry.usersChanged(1);
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
