package tokend.aws;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import software.amazon.awssdk.auth.credentials.AnonymousCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.awssdk.services.sts.model.StsException;
import tokend.client.CachedTokenSource;
import tokend.client.ErrorReason;
import tokend.client.TokenRequest;
import tokend.client.TokendException;
import tokend.client.testing.Failure;
import tokend.client.testing.FakeTokendServer;

class WebIdentityCredentialsProviderTest {
  private static final String ROLE = "arn:aws:iam::123456789012:role/billing";

  // RSA tokens of the same second are equal.
  private final AtomicLong seconds = new AtomicLong();
  private final FakeTokendServer tokend =
      FakeTokendServer.start(() -> Instant.now().plusSeconds(seconds.incrementAndGet()));
  private final CachedTokenSource source =
      tokend
          .client()
          .tokenSource(
              TokenRequest.of(FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, "alice"));
  private FakeSts sts;
  private StsClient client;

  @BeforeEach
  void start() {
    serve(Duration.ofHours(1));
  }

  private void serve(Duration life) {
    sts = new FakeSts(life);
    client =
        StsClient.builder()
            .endpointOverride(sts.uri())
            .region(Region.US_EAST_1)
            .credentialsProvider(AnonymousCredentialsProvider.create())
            .build();
  }

  @AfterEach
  void stop() {
    stopSts();
    source.close();
    tokend.close();
  }

  private void stopSts() {
    client.close();
    sts.close();
  }

  private WebIdentityCredentialsProvider.Builder builder() {
    return WebIdentityCredentialsProvider.builder(source, ROLE, "service-a").stsClient(client);
  }

  @Test
  void roleIsAssumedWithToken() {
    try (var provider = builder().duration(Duration.ofMinutes(15)).build()) {
      assertThat(sts.requests).isEmpty();

      assertThat(provider.resolveCredentials().accessKeyId()).isEqualTo("ASIA1");
      assertThat(provider.resolveCredentials().accessKeyId()).isEqualTo("ASIA1");
    }
    assertThat(sts.requests)
        .containsExactly(
            Map.of(
                "Action", "AssumeRoleWithWebIdentity",
                "Version", "2011-06-15",
                "RoleArn", ROLE,
                "RoleSessionName", "service-a",
                "DurationSeconds", "900",
                "WebIdentityToken", source.token().value()));
  }

  @Test
  void eachRenewalUsesValidToken() {
    stopSts();
    serve(Duration.ofSeconds(1)); // so short that the SDK renews them each time
    try (var provider = builder().build()) {
      provider.resolveCredentials();
      String first = source.token().value();
      source.invalidate(source.token());

      assertThat(provider.resolveCredentials().accessKeyId()).isEqualTo("ASIA2");
      assertThat(sts.tokens()).containsExactly(first, source.token().value()).doesNotHaveDuplicates();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"InvalidIdentityToken", "ExpiredTokenException", "IDPRejectedClaim"})
  void tokenRejectedByStsIsReplacedOnce(String code) {
    String first = source.token().value();
    sts.rejected.put(first, code);
    try (var provider = builder().build()) {
      assertThat(provider.resolveCredentials().accessKeyId()).isEqualTo("ASIA2");
    }
    assertThat(sts.tokens()).containsExactly(first, source.token().value());
    assertThat(tokend.calls("GetOpenIdTokenForDeveloperIdentity")).isEqualTo(2);
  }

  @Test
  void otherErrorsOfStsPropagate() {
    sts.rejected.put(source.token().value(), "AccessDenied");
    try (var provider = builder().build()) {
      assertThatExceptionOfType(StsException.class)
          .isThrownBy(provider::resolveCredentials)
          .satisfies(e -> assertThat(e.awsErrorDetails().errorCode()).isEqualTo("AccessDenied"));
    }
    assertThat(sts.requests).hasSize(1);
  }

  @Test
  void withoutTokenStsIsNotCalled() {
    tokend.fail(Failure.of(ErrorReason.NOT_AUTHORIZED));
    try (var provider = builder().build()) {
      assertThatExceptionOfType(TokendException.class)
          .isThrownBy(provider::resolveCredentials)
          .satisfies(e -> assertThat(e.reason()).contains(ErrorReason.NOT_AUTHORIZED));
    }
    assertThat(sts.requests).isEmpty();
  }

  @Test
  void invalidDurationIsRejectedByBuilder() {
    assertThatIllegalArgumentException().isThrownBy(() -> builder().duration(Duration.ofMinutes(14)));
    assertThatIllegalArgumentException().isThrownBy(() -> builder().duration(Duration.ofMinutes(15).plusMillis(1)));
  }
}
