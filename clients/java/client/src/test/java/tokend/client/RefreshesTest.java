package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RefreshesTest {
  private static final Token TOKEN = FakeCalls.token("jwt", ManualClock.START, Duration.ofMinutes(15));

  private final Refreshes refreshes = new Refreshes(Telemetry.NONE);
  private final List<Integer> sent = new ArrayList<>();
  private final List<CompletableFuture<Token>> calls = new ArrayList<>();

  private CompletableFuture<Token> send(int number) {
    return refreshes.send(
        () -> {
          sent.add(number);
          CompletableFuture<Token> call = new CompletableFuture<>();
          calls.add(call);
          return call;
        });
  }

  private List<CompletableFuture<Token>> sendMany(int count) {
    List<CompletableFuture<Token>> results = new ArrayList<>();
    for (int number = 0; number < count; number++) {
      results.add(send(number));
    }
    return results;
  }

  @Test
  void thirtyTwoRefreshesRunAndOthersWaitInOrder() {
    List<CompletableFuture<Token>> results = sendMany(40);
    assertThat(sent).hasSize(32);

    calls.get(5).complete(TOKEN);
    calls.get(7).completeExceptionally(new IllegalStateException());

    assertThat(sent.subList(32, sent.size())).containsExactly(32, 33);
    assertThat(results.get(5)).isCompletedWithValue(TOKEN);
    assertThat(results.get(7)).isCompletedExceptionally();
  }

  @Test
  void cancelledWaitingRefreshIsNotSent() {
    List<CompletableFuture<Token>> results = sendMany(35);

    results.get(32).cancel(false);
    results.get(0).cancel(false);

    assertThat(calls.get(0)).isCancelled();
    assertThat(sent.subList(32, sent.size())).containsExactly(33);
  }

  @Test
  void callThatFailsAtOnceReleasesItsTurn() {
    sendMany(32);
    List<CompletableFuture<Token>> failing = new ArrayList<>();
    for (int i = 0; i < 20_000; i++) {
      failing.add(
          refreshes.send(
              () -> {
                throw new IllegalStateException("no transport");
              }));
    }

    calls.get(0).complete(TOKEN);

    assertThat(failing).allMatch(CompletableFuture::isCompletedExceptionally);
  }

  private static final class Records extends Handler {
    final List<LogRecord> records = new ArrayList<>();

    @Override
    public void publish(LogRecord logged) {
      records.add(logged);
    }

    @Override
    public void flush() {}

    @Override
    public void close() {}
  }

  @ParameterizedTest
  @CsvSource({"0,0", "59,0", "-59,0", "61,1", "-61,1", "86400,1"})
  void clockDifferenceOverOneMinuteIsLoggedOnce(long ahead, int warnings) {
    Records records = new Records();
    Logger logger = Logger.getLogger("tokend.client");
    logger.addHandler(records);
    logger.setUseParentHandlers(false);
    try {
      Instant clock = ManualClock.START.plusSeconds(ahead);
      refreshes.compareClocks(TOKEN, clock.toEpochMilli(), clock.toEpochMilli());
      refreshes.compareClocks(TOKEN, clock.toEpochMilli(), clock.toEpochMilli());
    } finally {
      logger.removeHandler(records);
      logger.setUseParentHandlers(true);
    }
    assertThat(records.records).hasSize(warnings);
  }
}
