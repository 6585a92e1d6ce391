package tokend.client;

import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A call to tokend failed. Decide on {@link #reason()} and {@link #code()}; the message is for people and holds no login
 * value, token or key. Like gRPC's own exceptions, it is not made for serialization.
 */
public final class TokendException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** The status code of the call. */
  private final Status.Code code;

  private final transient FailureDetails details;

  /** Whether it was the caller who gave up its own call. */
  private final boolean isGivenUp;

  TokendException(Status.Code code, String text, FailureDetails details, @Nullable Throwable cause) {
    this(code, text, details, cause, false);
  }

  private TokendException(
      Status.Code code, String text, FailureDetails details, @Nullable Throwable cause, boolean isGivenUp) {
    super(text, cause);
    this.code = code;
    this.details = details;
    this.isGivenUp = isGivenUp;
  }

  /** A failure that tokend has not told: made here, or by gRPC. */
  static TokendException local(Status.Code code, String text, @Nullable Throwable cause) {
    return new TokendException(code, code + ": " + text, FailureDetails.NONE, cause);
  }

  /** The end of a call that its own caller gave up. */
  static TokendException givenUp(String text, @Nullable Throwable cause) {
    Status.Code code = Status.Code.CANCELLED;
    return new TokendException(code, code + ": " + text, FailureDetails.NONE, cause, true);
  }

  /** An answer that breaks the contract. */
  static TokendException protocolError(ProtocolException e, Throwable cause) {
    return local(Status.Code.INTERNAL, "tokend's answer breaks the contract: " + e.getMessage(), cause);
  }

  /** The same failure with the stack trace of the calling thread, since many callers may get one failure. */
  TokendException again() {
    return new TokendException(code, String.valueOf(getMessage()), details, this, isGivenUp);
  }

  /**
   * The status code of the call.
   *
   * @return the code
   */
  public Status.Code code() {
    return code;
  }

  /**
   * With which code a service fails a call of its own for which there is no token. Its caller is not to take tokend's
   * refusal for one of the service's: a reason becomes UNAUTHENTICATED, PERMISSION_DENIED or UNAVAILABLE, and a spent
   * deadline stays one.
   *
   * @return the code
   */
  public Status.Code downstreamCode() {
    return Downstream.codeOf(this);
  }

  /**
   * A name of the failure for metrics, as OpenTelemetry's attribute {@code error.type}: one of few.
   *
   * @return the reason, or the code where there is none
   */
  public String errorType() {
    return reason().map(Object::toString).orElse(code.name());
  }

  boolean isGivenUp() {
    return isGivenUp;
  }

  /**
   * Why tokend refused or failed the call.
   *
   * @return the reason; empty when tokend did not tell one, as for a spent deadline or a broken connection
   */
  public Optional<ErrorReason> reason() {
    return Optional.ofNullable(details.reason());
  }

  /**
   * How long to wait before the next try ({@code google.rpc.RetryInfo}).
   *
   * @return the delay; empty when tokend did not tell one
   */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(details.retryDelay());
  }

  /**
   * The Cognito exception of the same meaning, such as {@code ResourceNotFoundException}.
   *
   * @return the code; empty when there is none
   */
  public Optional<String> awsErrorCode() {
    return Optional.ofNullable(details.awsErrorCode());
  }

  /**
   * The id of the request to Cognito that failed.
   *
   * @return the id; empty when there was no such request
   */
  public Optional<String> awsRequestId() {
    return Optional.ofNullable(details.awsRequestId());
  }

  /**
   * The fields that break their limits ({@code google.rpc.BadRequest}).
   *
   * @return all of them; empty for other reasons than {@link ErrorReason#VALIDATION_FAILED}
   */
  public List<FieldViolation> violations() {
    return details.violations();
  }

  /**
   * What does not exist ({@code google.rpc.ResourceInfo}): {@code IdentityPool}, {@code Identity} or {@code
   * DeveloperUser}.
   *
   * @return the type; empty for other reasons than {@link ErrorReason#RESOURCE_NOT_FOUND}
   */
  public Optional<String> resourceType() {
    return Optional.ofNullable(details.resourceType());
  }

  /**
   * The id under which tokend's log tells of a defect ({@code google.rpc.RequestInfo}).
   *
   * @return the id; empty for other reasons than {@link ErrorReason#INTERNAL}
   */
  public Optional<String> requestId() {
    return Optional.ofNullable(details.requestId());
  }
}
