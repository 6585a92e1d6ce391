package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static tokend.client.ScriptedService.failure;

import com.google.rpc.Code;
import io.grpc.Context;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import tokend.v1.LookupDeveloperIdentityRequest;

/** Sources and caches of a client. */
class ClientSourcesTest extends ClientOfScriptedServer {
  @Test
  void refreshIsIndependentOfContextOfFirstCaller() throws Exception {
    server.service.hold();
    CachedTokenSource source = client.tokenSource(ALICE, PATIENT);
    Context.CancellableContext first = Context.current().withCancellation();
    CompletableFuture<Token> asked = first.call(() -> source.tokenAsync());
    CompletableFuture<Token> other = source.tokenAsync();
    ScriptedService.Call call = server.service.held.take();

    first.cancel(null);
    call.answer(RESPONSE);

    assertThat(other.get()).isEqualTo(TOKEN);
    assertThat(asked).isCompletedExceptionally();
  }

  @Test
  void refreshHasItsOwnDeadline() {
    server.service.hold();
    CachingPolicy hasty = CachingPolicy.defaults().withRefreshTimeout(Duration.ofMillis(50));

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> client.tokenSource(ALICE, hasty).token())
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));
  }

  @Test
  void closingSourceCancelsCall() throws Exception {
    server.service.hold();
    CachedTokenSource source = client.tokenSource(ALICE, PATIENT);
    CompletableFuture<Token> token = source.tokenAsync();
    server.service.held.take();

    source.close();

    assertThat(token).isCompletedExceptionally();
    assertThat(server.service.cancelled.get()).isTrue();
  }

  @Test
  void closingClientWakesWaitingCallersOfSources() throws Exception {
    server.service.hold();
    CompletableFuture<Token> token = client.tokenSource(ALICE, PATIENT).tokenAsync();
    server.service.held.take();

    client.close();

    assertThat(token.handle((brought, failure) -> failure).get()).isInstanceOf(TokendException.class);
  }

  @Test
  void sourcesAndCachesOfClientShareRefreshLimit() throws Exception {
    server.service.hold();
    TokenCache cache = client.tokenCache(PATIENT, 100);
    List<CompletableFuture<Token>> tokens = new ArrayList<>();
    for (int user = 0; user < 40; user++) {
      tokens.add(cache.tokenAsync(TokenRequest.of("pool", "provider", "user-" + user)));
    }
    tokens.add(client.withDeadline(Duration.ofMinutes(2)).tokenSource(ALICE, PATIENT).tokenAsync());

    for (int call = 0; call < 32; call++) {
      server.service.held.take();
    }
    client.withDeadline(Duration.ofSeconds(1)).lookupDeveloperIdentityAsync(LookupRequest.ofUser("pool", "alice"));
    assertThat(server.service.held.take()).isNotNull();
    assertThat(server.service.requests.get(32)).isInstanceOf(LookupDeveloperIdentityRequest.class);
    assertThat(tokens).noneMatch(CompletableFuture::isDone);
    cache.close();
  }
}
