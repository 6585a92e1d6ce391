package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static tokend.client.FakeCalls.token;

import io.grpc.Attributes;
import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import tokend.v1.DeveloperIdentityServiceGrpc;

class TokendCallCredentialsTest {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final ManualClock clock = new ManualClock();
  private final FakeCalls calls = new FakeCalls();
  private final CachedTokenSource source =
      new CachedTokenSource(FakeCalls.USER, calls, clock.policy(), new Refreshes(Telemetry.NONE));
  private final TokendCallCredentials credentials = new TokendCallCredentials(source);
  private final Token token = token("jwt", ManualClock.START, Duration.ofMinutes(15));
  private final Applied applied = new Applied();

  private static final class Applied extends CallCredentials.MetadataApplier {
    final List<String> authorizations = new ArrayList<>();
    final List<Status> failures = new ArrayList<>();

    @Override
    public void apply(Metadata headers) {
      headers.getAll(AUTHORIZATION).forEach(authorizations::add);
    }

    @Override
    public void fail(Status status) {
      failures.add(status);
    }
  }

  private static final class Request extends CallCredentials.RequestInfo {
    private final SecurityLevel level;

    Request(SecurityLevel level) {
      this.level = level;
    }

    @Override
    public MethodDescriptor<?, ?> getMethodDescriptor() {
      return DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod();
    }

    @Override
    public SecurityLevel getSecurityLevel() {
      return level;
    }

    @Override
    public String getAuthority() {
      return "orders.example.test";
    }

    @Override
    public Attributes getTransportAttrs() {
      return Attributes.EMPTY;
    }
  }

  private void apply(TokendCallCredentials to, SecurityLevel level) {
    to.applyRequestMetadata(
        new Request(level),
        task -> {
          throw new AssertionError("nothing may be run by the caller's executor");
        },
        applied);
  }

  @Test
  void callWaitsForToken() {
    apply(credentials, SecurityLevel.PRIVACY_AND_INTEGRITY);
    assertThat(applied.authorizations).isEmpty();

    calls.last().complete(token);

    assertThat(applied.authorizations).containsExactly("Bearer jwt");
  }

  @Test
  void freshTokenIsAppliedAtOnce() {
    source.tokenAsync();
    calls.last().complete(token);

    apply(credentials, SecurityLevel.PRIVACY_AND_INTEGRITY);

    assertThat(applied.authorizations).containsExactly("Bearer jwt");
  }

  @ParameterizedTest
  @EnumSource(
      value = SecurityLevel.class,
      names = {"NONE", "INTEGRITY"})
  void tokenIsNeitherFetchedNorSentInPlaintext(SecurityLevel level) {
    apply(credentials, level);

    assertThat(applied.failures).extracting(Status::getCode).containsExactly(Status.Code.UNAUTHENTICATED);
    assertThat(calls.count()).isZero();
  }

  @Test
  void plaintextCanBeAllowed() {
    apply(credentials.allowingPlaintext(), SecurityLevel.NONE);
    calls.last().complete(token);

    assertThat(applied.authorizations).containsExactly("Bearer jwt");
  }

  @ParameterizedTest
  @CsvSource({
    "UNAVAILABLE,UNAVAILABLE",
    "DEADLINE_EXCEEDED,DEADLINE_EXCEEDED",
    "CANCELLED,UNAVAILABLE",
    "UNAUTHENTICATED,UNAUTHENTICATED",
    "INTERNAL,UNAVAILABLE"
  })
  void callWithoutTokenFailsWithDownstreamCode(Status.Code cause, Status.Code expected) {
    apply(credentials, SecurityLevel.PRIVACY_AND_INTEGRITY);
    calls.last().completeExceptionally(TokendException.local(cause, "as scripted", null));

    assertThat(applied.failures).extracting(Status::getCode).containsExactly(expected);
    assertThat(applied.failures.get(0).getDescription()).contains("as scripted");
  }
}
