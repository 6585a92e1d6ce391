package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.grpc.Attributes;
import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import io.grpc.health.v1.HealthGrpc;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import tokend.v1.DeveloperIdentityServiceGrpc;

class BearerTokenFileTest {
  private final Path file;
  private final List<Metadata> applied = new ArrayList<>();
  private final List<Status> failures = new ArrayList<>();

  BearerTokenFileTest(@TempDir Path directory) {
    file = directory.resolve("token");
  }

  private void write(String content) throws IOException {
    Files.writeString(file, content, StandardCharsets.ISO_8859_1);
  }

  private void apply(MethodDescriptor<?, ?> method, SecurityLevel level) {
    new BearerTokenFile(file)
        .applyRequestMetadata(
            new CallCredentials.RequestInfo() {
              @Override
              public MethodDescriptor<?, ?> getMethodDescriptor() {
                return method;
              }

              @Override
              public SecurityLevel getSecurityLevel() {
                return level;
              }

              @Override
              public String getAuthority() {
                return "tokend.example.test";
              }

              @Override
              public Attributes getTransportAttrs() {
                return Attributes.EMPTY;
              }
            },
            Runnable::run,
            new CallCredentials.MetadataApplier() {
              @Override
              public void apply(Metadata headers) {
                applied.add(headers);
              }

              @Override
              public void fail(Status status) {
                failures.add(status);
              }
            });
  }

  private void applyToACall() {
    apply(DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod(), SecurityLevel.PRIVACY_AND_INTEGRITY);
  }

  private List<String> authorizations() {
    Metadata.Key<String> key = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    return applied.stream().map(headers -> String.valueOf(headers.get(key))).toList();
  }

  @Test
  void eachCallReadsFile() throws Exception {
    for (String token : List.of("a.b-c_d~e+f/g==", "next")) {
      Files.writeString(file, "\ufeff" + token + "\r\n"); // as some editors write it
      applyToACall();
    }

    assertThat(authorizations()).containsExactly("Bearer a.b-c_d~e+f/g==", "Bearer next");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", " \n", "s3cr3t t0k3n", "s3cr3t\nt0k3n", "s3cr3t=t0k3n", "s3cr3t\u00ff"})
  void invalidTokenIsNeitherSentNorShown(String content) throws Exception {
    write(content);

    applyToACall();

    assertThat(applied).isEmpty();
    assertThat(failures).extracting(Status::getCode).containsExactly(Status.Code.UNAUTHENTICATED);
    assertThat(failures.toString()).contains(file.toString()).doesNotContain("s3cr3t", "t0k3n");
  }

  @Test
  void healthCheckIsSentWithoutTokenIfThereIsNone() throws Exception {
    apply(HealthGrpc.getWatchMethod(), SecurityLevel.PRIVACY_AND_INTEGRITY);
    write("abc");
    apply(HealthGrpc.getWatchMethod(), SecurityLevel.PRIVACY_AND_INTEGRITY);

    assertThat(authorizations()).containsExactly("null", "Bearer abc");
  }

  @ParameterizedTest
  @EnumSource(
      value = SecurityLevel.class,
      names = {"NONE", "INTEGRITY"})
  void tokenIsNotSentInPlaintext(SecurityLevel level) throws Exception {
    write("abc");

    apply(DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod(), level);

    assertThat(applied).isEmpty();
    assertThat(failures).extracting(Status::getCode).containsExactly(Status.Code.UNAUTHENTICATED);
  }

  @Test
  void plaintextClientIsRejected() {
    ClientBuilder careless = Client.builder("localhost:1").bearerTokenFile(file).plaintext();

    assertThatExceptionOfType(IllegalStateException.class).isThrownBy(careless::build);
  }
}
