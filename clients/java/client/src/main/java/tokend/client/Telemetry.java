package tokend.client;

import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** The metrics and logs of a client. */
final class Telemetry {
  /** The version of the artifact. */
  static final String VERSION = "0.1.0";

  /** Counts nothing. */
  static final Telemetry NONE = new Telemetry(List.of());

  private static final long WARNING_INTERVAL = 1000;
  private static final System.Logger LOGGER = System.getLogger("tokend.client");

  private final List<ClientMetrics> metrics;
  private final AtomicReference<@Nullable Reading> lastWarning = new AtomicReference<>();

  Telemetry(List<ClientMetrics> metrics) {
    this.metrics = List.copyOf(metrics);
  }

  void refreshed(@Nullable TokendException failure) {
    forEachMetrics(each -> each.refreshed(failure));
  }

  void staleToken() {
    forEachMetrics(ClientMetrics::staleToken);
  }

  void usersChanged(long by) {
    forEachMetrics(each -> each.usersChanged(by));
  }

  void evicted() {
    forEachMetrics(
        each -> {
          each.usersChanged(-1);
          each.evicted();
        });
  }

  /** A failure of the metrics must not fail requests for tokens. */
  private void forEachMetrics(Consumer<ClientMetrics> what) {
    for (ClientMetrics each : metrics) {
      try {
        what.accept(each);
      } catch (RuntimeException e) {
        LOGGER.log(System.Logger.Level.DEBUG, "the metrics failed", e);
      }
    }
  }

  /** Logs a failed refresh: the first one of a source as a warning, but at most one per second. */
  void logFailure(TokenRequest request, TokendException failure, boolean isFirst, long delay, Reading now) {
    boolean warns = isFirst && mayWarn(now);
    LOGGER.log(
        warns ? System.Logger.Level.WARNING : System.Logger.Level.DEBUG,
        "no token for {0}: {1}; the next attempt is in {2} s",
        describe(request),
        failure.getMessage(),
        String.format(Locale.ROOT, "%.1f", delay / 1000.0));
  }

  void logRecovery(TokenRequest request) {
    LOGGER.log(System.Logger.Level.INFO, "there are tokens for {0} again", describe(request));
  }

  private boolean mayWarn(Reading now) {
    Reading last = lastWarning.get();
    boolean isTime = last == null || now.monotonicMillisSince(last) >= WARNING_INTERVAL;
    return isTime && lastWarning.compareAndSet(last, now);
  }

  private static String describe(TokenRequest request) {
    String providers = String.join(", ", request.logins().keySet().stream().sorted().toList());
    return "a user of " + providers + " in " + request.identityPoolId();
  }
}
