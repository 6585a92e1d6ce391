package tokend.spring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.grpc.Status;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import tokend.client.CachingPolicy;
import tokend.client.Client;
import tokend.client.ClientMetrics;
import tokend.client.ErrorReason;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;
import tokend.client.TokenSource;
import tokend.client.TokendException;
import tokend.client.testing.Failure;
import tokend.client.testing.FakeTokendServer;
import tokend.verifier.TokenVerifier;

class TokendAutoConfigurationTest {
  private static final String POOL = "tokend.token.pool=" + FakeTokendServer.IDENTITY_POOL_ID;
  private static final String PROVIDER = "tokend.token.provider=" + FakeTokendServer.DEVELOPER_PROVIDER_NAME;
  private static final TokenRequest ALICE =
      TokenRequest.of(FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, "alice");

  private final FakeTokendServer server = FakeTokendServer.start();
  private final ApplicationContextRunner plain =
      new ApplicationContextRunner()
          .withConfiguration(
              AutoConfigurations.of(
                  SslAutoConfiguration.class,
                  TokendAutoConfiguration.class,
                  TokendHealthAutoConfiguration.class,
                  TokendJwtDecoderAutoConfiguration.class,
                  TokendMetricsAutoConfiguration.class,
                  TokendRestClientAutoConfiguration.class));
  private final ApplicationContextRunner calling = plain.withPropertyValues("tokend.target=127.0.0.1:1");

  /** An application whose client, built by the starter, calls the fake server. */
  private final ApplicationContextRunner served =
      calling
          // Machines that run tests are busy.
          .withPropertyValues("tokend.deadline=60s", "tokend.cache.refresh-timeout=60s")
          .withBean(ClientBuilderCustomizer.class, () -> builder -> builder.transport(server.transport()));

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void withoutPropertiesNoBeansAreCreated() {
    plain.run(
        context ->
            assertThat(context)
                .hasNotFailed()
                .doesNotHaveBean(Client.class)
                .doesNotHaveBean(TokenCache.class)
                .doesNotHaveBean(HealthIndicator.class)
                .doesNotHaveBean(TokenVerifier.class)
                .doesNotHaveBean(JwtDecoder.class)
                .doesNotHaveBean(ClientMetrics.class));
  }

  @Test
  void targetCreatesClientAndCache() {
    calling.run(
        context ->
            assertThat(context)
                .hasSingleBean(Client.class)
                .hasSingleBean(TokenCache.class)
                .hasSingleBean(HealthIndicator.class)
                .doesNotHaveBean(TokenSource.class)
                .doesNotHaveBean(TokenVerifier.class));
  }

  @Test
  void issuerCreatesVerifierAndDecoder() {
    ApplicationContextRunner verifying =
        plain.withPropertyValues("tokend.verifier.issuer=https://issuer", "tokend.verifier.audiences=pool");

    verifying.run(
        context -> assertThat(context).hasSingleBean(TokenVerifier.class).hasSingleBean(TokendJwtDecoder.class));
    verifying
        .withBean("ownDecoder", JwtDecoder.class, () -> token -> null)
        .run(context -> assertThat(context).hasSingleBean(JwtDecoder.class).doesNotHaveBean(TokendJwtDecoder.class));
  }

  @Test
  void optionalLibrariesMayBeMissing() {
    calling
        .withPropertyValues("tokend.verifier.issuer=https://issuer", "tokend.verifier.audiences=pool")
        .withClassLoader(
            new FilteredClassLoader(
                "io.micrometer",
                "org.springframework.security",
                "org.springframework.web",
                "org.springframework.boot.http"))
        .run(context -> assertThat(context).hasSingleBean(Client.class).hasSingleBean(TokenVerifier.class));
  }

  @Test
  void tokenSourceUsesUserFileAndDuration(@TempDir Path directory) throws Exception {
    Path user = Files.writeString(directory.resolve("user"), "\ufeffalice\r\n"); // as some editors write it
    String identityId = server.client().getOpenIdTokenForDeveloperIdentity(ALICE).identityId();

    served
        .withPropertyValues(POOL, PROVIDER, "tokend.token.user-file=" + user, "tokend.token.duration=60")
        .run(
            context -> {
              var token = context.getBean(TokenSource.class).token();
              assertThat(token.identityId()).isEqualTo(identityId);
              assertThat(token.expireTime()).isBeforeOrEqualTo(Instant.now().plusSeconds(60));
            });
  }

  @Test
  void principalTagNamesMayContainSlashesAndSpaces() {
    served
        .withPropertyValues(
            POOL,
            PROVIDER,
            "tokend.token.user=alice",
            "tokend.token.principal-tags.cost_center=7",
            "tokend.token.principal-tags[team/name of all]=blue")
        .run(
            context ->
                assertThat(Objects.requireNonNull(context.getBean(TokendProperties.class).token()).principalTags())
                    .isEqualTo(Map.of("cost_center", "7", "team/name of all", "blue")));
  }

  @Test
  void beansOfUserReplaceBeansOfStarter() {
    Client own = server.client();
    CachingPolicy policy = CachingPolicy.defaults();
    calling
        .withPropertyValues(POOL, PROVIDER, "tokend.token.user=alice")
        .withBean(Client.class, () -> own)
        .withBean(CachingPolicy.class, () -> policy)
        .withBean(TokenCache.class, own::tokenCache)
        .withBean("source", TokenSource.class, () -> own.tokenSource(ALICE))
        .run(
            context ->
                assertThat(context)
                    .hasNotFailed()
                    .hasSingleBean(Client.class)
                    .hasSingleBean(TokenCache.class)
                    .hasSingleBean(TokenSource.class)
                    .hasSingleBean(CachingPolicy.class));
  }

  @Test
  void userMayDefineSeveralBeans() {
    TokenVerifier verifier = TokenVerifier.builder("https://issuer", "pool").build();
    plain
        .withBean("one", Client.class, server::client)
        .withBean("other", Client.class, server::client)
        .withBean("oneRegistry", MeterRegistry.class, SimpleMeterRegistry::new)
        .withBean("otherRegistry", MeterRegistry.class, SimpleMeterRegistry::new)
        .withBean("oneVerifier", TokenVerifier.class, () -> verifier)
        .withBean("otherVerifier", TokenVerifier.class, () -> verifier)
        .run(
            context ->
                assertThat(context)
                    .hasNotFailed()
                    .doesNotHaveBean(HealthIndicator.class)
                    .doesNotHaveBean(ClientMetrics.class)
                    .doesNotHaveBean(JwtDecoder.class));
  }

  @Test
  void sourcesAreClosedBeforeClient() {
    served
        .withPropertyValues(POOL, PROVIDER, "tokend.token.user=alice")
        .run(
            context -> {
              assertThat(context.getBeanFactory().getDependentBeans("tokendClient"))
                  .contains("tokendTokenCache", "tokendTokenSource");
              TokenSource source = context.getBean(TokenSource.class);
              TokenCache cache = context.getBean(TokenCache.class);
              Client client = context.getBean(Client.class);
              source.token();

              context.close();

              assertThatExceptionOfType(TokendException.class)
                  .isThrownBy(source::token)
                  .withMessageContaining("closed");
              assertThatExceptionOfType(TokendException.class)
                  .isThrownBy(() -> cache.token(ALICE))
                  .withMessageContaining("closed");
              assertThatExceptionOfType(TokendException.class)
                  .isThrownBy(() -> client.getOpenIdTokenForDeveloperIdentity(ALICE))
                  .satisfies(failure -> assertThat(failure.code()).isEqualTo(Status.Code.UNAVAILABLE));
            });
  }

  @Test
  void meterRegistryOfApplicationIsUsed() {
    served
        .withBean(MeterRegistry.class, SimpleMeterRegistry::new)
        .run(
            context -> {
              context.getBean(TokenCache.class).token(ALICE);

              MeterRegistry registry = context.getBean(MeterRegistry.class);
              assertThat(registry.get("tokend.client.refreshes").tag("error.type", "none").counter().count())
                  .isEqualTo(1);
              assertThat(registry.get("tokend.client.cache.users").gauge().value()).isEqualTo(1);
            });
  }

  @Test
  void noMetersAreRegisteredWithoutClient() {
    plain
        .withPropertyValues("tokend.verifier.issuer=https://issuer", "tokend.verifier.audiences=pool")
        .withBean(MeterRegistry.class, SimpleMeterRegistry::new)
        .run(
            context -> {
              assertThat(context).doesNotHaveBean(ClientMetrics.class);
              assertThat(context.getBean(MeterRegistry.class).getMeters()).isEmpty();
            });
  }

  @Test
  void healthIndicatorReportsConnectionAndLastRefresh() {
    served.run(
        context -> {
          HealthIndicator indicator = context.getBean(HealthIndicator.class);
          assertThat(status(indicator)).isEqualTo("UNKNOWN");
          context.getBean(TokenCache.class).token(ALICE);
          assertThat(status(indicator)).isEqualTo("UP");
          assertThat(server.calls("GetOpenIdTokenForDeveloperIdentity")).isEqualTo(1);

          server.failNext(Failure.of(ErrorReason.NOT_AUTHORIZED));
          TokenRequest bob =
              TokenRequest.of(FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, "bob");
          assertThatExceptionOfType(TokendException.class)
              .isThrownBy(() -> context.getBean(TokenCache.class).token(bob));
          assertThat(health(indicator).getDetails().get("lastRefresh")).asString().contains("NOT_AUTHORIZED");

          context.getBean(Client.class).close();
          assertThat(status(indicator)).isEqualTo("DOWN");
        });
  }

  private static Health health(HealthIndicator indicator) {
    return Objects.requireNonNull(indicator.health());
  }

  private static String status(HealthIndicator indicator) {
    return health(indicator).getStatus().getCode();
  }

  @Test
  void healthIndicatorCanBeDisabled() {
    calling
        .withPropertyValues("management.health.tokend.enabled=false")
        .run(context -> assertThat(context).hasSingleBean(Client.class).doesNotHaveBean(HealthIndicator.class));
  }

  @ParameterizedTest
  @ValueSource(strings = {"http://tokend_issuer:8080", "https://[::1]:8080", "HTTPS://issuer", "http://issuer/path"})
  void issuerMayBeAnyHttpUrl(String issuer) {
    plain
        .withPropertyValues(
            "tokend.verifier.issuer=" + issuer, "tokend.verifier.audiences=pool", "tokend.verifier.keys-at=" + issuer)
        .run(context -> assertThat(context).hasSingleBean(TokenVerifier.class));
  }

  @ParameterizedTest
  @ValueSource(strings = {"issuer", "//issuer", "http:", "http://", "http:///path", "http://:80", "file:///issuer", "ftp://issuer", "http://a b"})
  void issuerThatIsNotHttpUrlIsRejected(String issuer) {
    plain
        .withPropertyValues("tokend.verifier.issuer=" + issuer, "tokend.verifier.audiences=pool")
        .run(
            context ->
                assertThat(context.getStartupFailure()).rootCause().message().contains("tokend.verifier.issuer"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"http://tokend:50051", "tokend:grpc", "a b:1"})
  void invalidTargetIsRejected(String target) {
    plain
        .withPropertyValues("tokend.target=" + target)
        .run(context -> assertThat(context.getStartupFailure()).hasMessageContaining("tokend.target"));
  }

  @Test
  void invalidBundleIsReportedByItsProperty(@TempDir Path directory) throws Exception {
    Path noKey = Files.writeString(directory.resolve("key"), "no key");
    ApplicationContextRunner bundled = calling.withPropertyValues("tokend.ssl.bundle=internal");

    bundled.run(context -> assertThat(context.getStartupFailure()).hasMessageContaining("tokend.ssl.bundle"));
    bundled
        .withPropertyValues("spring.ssl.bundle.pem.internal.truststore.certificate=file:" + noKey)
        .run(context -> assertThat(context.getStartupFailure()).hasMessageContaining("tokend.ssl.bundle"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", " \n", "\ufeff\n"})
  void userFileWithoutUserIsRejected(String content, @TempDir Path directory) throws Exception {
    Path user = Files.writeString(directory.resolve("user"), content);

    calling
        .withPropertyValues(POOL, PROVIDER, "tokend.token.user-file=" + user)
        .run(
            context ->
                assertThat(context.getStartupFailure())
                    .rootCause()
                    .message()
                    .contains("tokend.token.user-file", "contains no user"));
  }

  @Test
  void allProblemsAreReportedAtOnceWithoutSecrets() {
    plain
        .withPropertyValues(
            "tokend.plaintext=true",
            "tokend.bearer-token-file=/nowhere/token",
            "tokend.ssl.bundle=internal",
            "tokend.deadline=0s",
            "tokend.keep-alive.time=-1s",
            "tokend.cache.max-users=0",
            "tokend.cache.skew=-1s",
            "tokend.token.user=a-secret-login",
            "tokend.token.user-file=/nowhere/user",
            "tokend.token.duration=1500ms",
            "tokend.verifier.algorithms=HS256",
            "tokend.verifier.leeway=6m",
            "tokend.verifier.keys-at=keys")
        .run(
            context ->
                assertThat(context.getStartupFailure())
                    .rootCause()
                    .message()
                    .contains(
                        "tokend.target",
                        "tokend.bearer-token-file",
                        "tokend.ssl.bundle",
                        "tokend.deadline",
                        "tokend.keep-alive.time",
                        "tokend.cache.max-users",
                        "tokend.cache.skew",
                        "tokend.token.pool",
                        "tokend.token.provider",
                        "tokend.token.user-file",
                        "tokend.token.duration",
                        "tokend.verifier.issuer",
                        "tokend.verifier.audiences",
                        "tokend.verifier.algorithms",
                        "tokend.verifier.leeway",
                        "tokend.verifier.keys-at")
                    .doesNotContain("a-secret-login"));
  }
}
