package example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.TokenRequest;
import tokend.client.TokendException;

/** A real server that requires authentication. */
class IdentifiedTest {
  private final ScheduledExecutorService scheduler = Executors.newSingleThreadScheduledExecutor();
  private Map<String, String> settings = Map.of();

  @BeforeEach
  void find() {
    String guarded = System.getenv("TOKEND_GUARDED");
    Assumptions.assumeTrue(
        guarded != null || "true".equals(System.getenv("CI")),
        "TOKEND_GUARDED is not set: this test needs the real server, which `uv run poe test` starts");
    settings = new Gson().fromJson(guarded, new TypeToken<Map<String, String>>() {}.getType());
  }

  @AfterEach
  void stop() {
    scheduler.shutdownNow();
  }

  private String setting(String name) {
    return Optional.ofNullable(settings.get(name)).orElseThrow();
  }

  private File file(String name) {
    return new File(setting(name));
  }

  private Client bearing(Path tokenFile) throws Exception {
    return Identified.byToken(setting("bearer"), file("ca_file"), tokenFile);
  }

  /** Returns the response to a call, which is retried if it exceeds the example's deadline on a busy machine. */
  private String ask(Client client, String pool) {
    TokenRequest request = TokenRequest.of(setting(pool), setting("developer_provider_name"), "alice");
    while (true) {
      try {
        return client.getOpenIdTokenForDeveloperIdentity(request).identityId();
      } catch (TokendException e) {
        if (e.code() != Status.Code.DEADLINE_EXCEEDED) {
          throw e;
        }
      }
    }
  }

  private TokendException refusal(Client client, String pool) {
    return Optional.ofNullable(catchThrowableOfType(TokendException.class, () -> ask(client, pool))).orElseThrow();
  }

  @Test
  void certificateIdentifiesCaller() throws Exception {
    try (Client client =
            Identified.byCertificate(
                setting("mutual_tls"), file("ca_file"), file("certificate_file"), file("private_key_file"), scheduler);
        Client unknown =
            Client.builder(setting("mutual_tls"))
                .channelCredentials(TlsChannelCredentials.newBuilder().trustManager(file("ca_file")).build())
                .build()) {
      assertThat(ask(client, "identity_pool_id")).isNotEmpty();
      assertThat(refusal(client, "other_identity_pool_id").reason()).contains(ErrorReason.CALLER_NOT_ALLOWED);
      assertThat(refusal(unknown, "identity_pool_id").code()).isEqualTo(Status.Code.UNAVAILABLE);
    }
  }

  @Test
  void rotatedBearerTokenIdentifiesCaller(@TempDir Path directory) throws Exception {
    Path token = Files.copy(Path.of(setting("unknown_key_file")), directory.resolve("token"));
    try (Client client = bearing(token)) {
      assertThat(refusal(client, "identity_pool_id").reason()).contains(ErrorReason.CALLER_UNAUTHENTICATED);

      Path next = Files.copy(Path.of(setting("key_file")), directory.resolve("next"));
      Files.move(next, token, StandardCopyOption.ATOMIC_MOVE);

      assertThat(ask(client, "identity_pool_id")).isNotEmpty();
      assertThat(refusal(client, "other_identity_pool_id").reason()).contains(ErrorReason.CALLER_NOT_ALLOWED);
    }
  }

  @Test
  void callSucceedsAfterRetryDelay() throws Exception {
    try (Client client = bearing(Path.of(setting("key_of_a_limited_caller_file")))) {
      TokendException refusal = null;
      while (refusal == null) {
        refusal = catchThrowableOfType(TokendException.class, () -> ask(client, "identity_pool_id"));
      }

      assertThat(refusal.reason()).contains(ErrorReason.TOO_MANY_REQUESTS);
      Duration delay = refusal.retryDelay().orElseThrow();
      assertThat(delay).isPositive().isLessThanOrEqualTo(Duration.ofMillis(500));
      Thread.sleep(delay.toMillis() + 1); // fractions of a millisecond are cut off
      assertThat(ask(client, "identity_pool_id")).isNotEmpty();
    }
  }
}
