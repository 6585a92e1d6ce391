package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static tokend.client.ScriptedService.failure;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tokend.v1.ErrorReason;

class FailuresTest {
  private static ErrorInfo info(String reason) {
    return ErrorInfo.newBuilder().setDomain("tokend").setReason(reason).build();
  }

  @Test
  void allDetailsAreParsed() {
    RetryInfo.Builder retry = RetryInfo.newBuilder();
    retry.getRetryDelayBuilder().setSeconds(1).setNanos(500_000_000);
    BadRequest.Builder bad = BadRequest.newBuilder();
    bad.addFieldViolationsBuilder().setField("identity_pool_id").setDescription("too short");
    bad.addFieldViolationsBuilder().setField("logins").setDescription("too many");
    TokendException e =
        Failures.toTokendException(
            failure(
                Code.NOT_FOUND,
                "Identity 'x' not found.",
                RequestInfo.newBuilder().setRequestId("request-1").build(),
                retry.build(),
                ResourceInfo.newBuilder().setResourceType("Identity").build(),
                info("RESOURCE_NOT_FOUND").toBuilder()
                    .putMetadata("aws_error_code", "ResourceNotFoundException")
                    .putMetadata("aws_request_id", "aws-1")
                    .build(),
                bad.build()));

    assertThat(e).hasMessage("NOT_FOUND RESOURCE_NOT_FOUND: Identity 'x' not found.");
    assertThat(e.code()).isEqualTo(Status.Code.NOT_FOUND);
    assertThat(e.reason()).contains(tokend.client.ErrorReason.RESOURCE_NOT_FOUND);
    assertThat(e.awsErrorCode()).contains("ResourceNotFoundException");
    assertThat(e.awsRequestId()).contains("aws-1");
    assertThat(e.retryDelay()).contains(Duration.ofMillis(1500));
    assertThat(e.resourceType()).contains("Identity");
    assertThat(e.requestId()).contains("request-1");
    assertThat(e.violations())
        .containsExactly(
            new FieldViolation("identity_pool_id", "too short"), new FieldViolation("logins", "too many"));
  }

  @Test
  void everyReasonOfContractHasConstant() {
    for (ErrorReason reason : ErrorReason.values()) {
      if (reason != ErrorReason.ERROR_REASON_UNSPECIFIED && reason != ErrorReason.UNRECOGNIZED) {
        String name = reason.name().substring("ERROR_REASON_".length());
        assertThat(tokend.client.ErrorReason.named(name).name()).isEqualTo(name);
      }
    }
    // UNKNOWN of this enum is UNSPECIFIED in the contract and UNRECOGNIZED in protobuf.
    assertThat(tokend.client.ErrorReason.values()).hasSize(ErrorReason.values().length - 1);
  }

  @ParameterizedTest
  @ValueSource(strings = {"io exception", "io exception\nChannel Pipeline: [SslHandler#0]", "http2 exception"})
  void causesReplaceMissingTransportDescription(String description) {
    Throwable cause =
        new IOException("handshake", new IOException("no path: no such authority", new IOException("no such authority")));
    Status status = Status.UNAVAILABLE.withDescription(description).withCause(cause);

    assertThat(Failures.toTokendException(status.asRuntimeException()))
        .hasMessage("UNAVAILABLE: " + description.lines().toList().get(0) + ": handshake: no path: no such authority");
    assertThat(Failures.toTokendException(status.withDescription("no token: gone").asRuntimeException()))
        .hasMessage("UNAVAILABLE: no token: gone");
  }

  @Test
  void transportDescriptionIsTruncated() {
    Status status = Status.UNAVAILABLE.withDescription("io exception").withCause(new IOException("0".repeat(10_000)));

    assertThat(Failures.toTokendException(status.asRuntimeException()).getMessage()).hasSizeLessThan(400);
  }

  @Test
  void reasonOfLaterReleaseIsUnknown() {
    TokendException e = Failures.toTokendException(failure(Code.ABORTED, "?", info("FROM_THE_FUTURE")));

    assertThat(e.reason()).contains(tokend.client.ErrorReason.UNKNOWN);
  }

  @Test
  void errorInfoOfOtherDomainIsIgnored() {
    ErrorInfo foreign = info("NOT_AUTHORIZED").toBuilder().setDomain("googleapis.com").build();

    assertThat(Failures.toTokendException(failure(Code.ABORTED, "?", foreign)).reason()).isEmpty();
  }

  @Test
  void invalidDetailDoesNotHideOtherDetails() {
    Any broken =
        Any.newBuilder()
            .setTypeUrl("type.googleapis.com/google.rpc.RetryInfo")
            .setValue(ByteString.copyFrom(new byte[] {10, 99}))
            .build();

    FailureDetails details = FailureDetails.of(List.of(broken, Any.pack(info("NOT_AUTHORIZED"))));

    assertThat(details.reason()).isEqualTo(tokend.client.ErrorReason.NOT_AUTHORIZED);
    assertThat(details.retryDelay()).isNull();
  }

  @ParameterizedTest
  @CsvSource({
    "4611686018427387904,0", "315576000001,0", "-30,0", "0,-1", "1,-1", "-1,1", "1,2000000000", "0,1000000000"
  })
  void invalidRetryDelayIsProtocolError(long seconds, int nanos) {
    RetryInfo.Builder retry = RetryInfo.newBuilder();
    retry.getRetryDelayBuilder().setSeconds(seconds).setNanos(nanos);

    TokendException e =
        Failures.toTokendException(
            failure(Code.RESOURCE_EXHAUSTED, "busy", info("TOO_MANY_REQUESTS"), retry.build()));

    assertThat(e.code()).isEqualTo(Status.Code.INTERNAL);
    assertThat(e.reason()).isEmpty();
    assertThat(e.retryDelay()).isEmpty();
    assertThat(e).hasCauseInstanceOf(StatusRuntimeException.class);
  }

  @ParameterizedTest
  @CsvSource({"0,0", "315576000000,999999999"})
  void retryDelayMayBeAnyValidDuration(long seconds, int nanos) {
    RetryInfo.Builder retry = RetryInfo.newBuilder();
    retry.getRetryDelayBuilder().setSeconds(seconds).setNanos(nanos);

    assertThat(FailureDetails.of(List.of(Any.pack(retry.build()))).retryDelay())
        .isEqualTo(Duration.ofSeconds(seconds, nanos));
  }

  @Test
  void invalidTrailerDoesNotHideCode() {
    Metadata trailers = new Metadata();
    Metadata.Key<byte[]> key = Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);
    trailers.put(key, "\377not a message".getBytes(StandardCharsets.ISO_8859_1));

    TokendException e = Failures.toTokendException(Status.NOT_FOUND.asRuntimeException(trailers));

    assertThat(e.code()).isEqualTo(Status.Code.NOT_FOUND);
    assertThat(e.reason()).isEmpty();
  }

  @Test
  void exceptionOfOtherOriginIsUnknownWithCause() {
    IllegalStateException cause = new IllegalStateException("inside");

    TokendException e = Failures.toTokendException(new CompletionException(cause));

    assertThat(e).hasMessage("UNKNOWN: IllegalStateException").hasCause(cause);
    assertThat(e.code()).isEqualTo(Status.Code.UNKNOWN);
  }
}
