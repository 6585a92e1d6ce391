package tokend.client;

import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Thrown when a call to tokend fails. Programs should decide on {@link #reason()} and {@link #code()}; the message is
 * for humans and contains no login value, token or key. Like gRPC's own exceptions, it does not support serialization.
 */
public final class TokendException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** The status code of the call. */
  private final Status.Code code;

  private final transient FailureDetails details;

  /** Whether the caller cancelled its own call. */
  private final boolean isCancelledByCaller;

  TokendException(Status.Code code, String text, FailureDetails details, @Nullable Throwable cause) {
    this(code, text, details, cause, false);
  }

  private TokendException(
      Status.Code code, String text, FailureDetails details, @Nullable Throwable cause, boolean isCancelledByCaller) {
    super(text, cause);
    this.code = code;
    this.details = details;
    this.isCancelledByCaller = isCancelledByCaller;
  }

  /** Returns a failure that does not come from tokend, but from this client or gRPC. */
  static TokendException local(Status.Code code, String text, @Nullable Throwable cause) {
    return new TokendException(code, code + ": " + text, FailureDetails.NONE, cause);
  }

  /** Returns the failure of a call that its own caller cancelled. */
  static TokendException cancelledByCaller(String text, @Nullable Throwable cause) {
    Status.Code code = Status.Code.CANCELLED;
    return new TokendException(code, code + ": " + text, FailureDetails.NONE, cause, true);
  }

  /** Returns the failure of a call whose response breaks the contract. */
  static TokendException protocolError(ProtocolException e, Throwable cause) {
    return local(Status.Code.INTERNAL, "tokend's response breaks the contract: " + e.getMessage(), cause);
  }

  /** Returns the same failure with the stack trace of the calling thread, since many callers may share one failure. */
  TokendException copy() {
    return new TokendException(code, String.valueOf(getMessage()), details, this, isCancelledByCaller);
  }

  /**
   * Returns the status code of the call.
   *
   * @return the code
   */
  public Status.Code code() {
    return code;
  }

  /**
   * Returns the code with which a service should fail its own call when there is no token, so that its caller does not
   * mistake tokend's error for one of the service: a reason becomes UNAUTHENTICATED, PERMISSION_DENIED or UNAVAILABLE,
   * and DEADLINE_EXCEEDED remains.
   *
   * @return the code
   */
  public Status.Code downstreamCode() {
    return Downstream.codeOf(this);
  }

  /**
   * Returns a name of the failure with low cardinality, for OpenTelemetry's attribute {@code error.type}.
   *
   * @return the reason, or the code if there is none
   */
  public String errorType() {
    return reason().map(Object::toString).orElse(code.name());
  }

  boolean isCancelledByCaller() {
    return isCancelledByCaller;
  }

  /**
   * Returns why tokend rejected or failed the call.
   *
   * @return the reason; empty if tokend sent none, for example because the deadline was exceeded or a connection failed
   */
  public Optional<ErrorReason> reason() {
    return Optional.ofNullable(details.reason());
  }

  /**
   * Returns how long to wait before the next try ({@code google.rpc.RetryInfo}).
   *
   * @return the delay; empty if tokend sent none
   */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(details.retryDelay());
  }

  /**
   * Returns the Cognito exception with the same meaning, such as {@code ResourceNotFoundException}.
   *
   * @return the code; empty if there is none
   */
  public Optional<String> awsErrorCode() {
    return Optional.ofNullable(details.awsErrorCode());
  }

  /**
   * Returns the id of the request to Cognito that failed.
   *
   * @return the id; empty if there was no such request
   */
  public Optional<String> awsRequestId() {
    return Optional.ofNullable(details.awsRequestId());
  }

  /**
   * Returns the fields that break their limits ({@code google.rpc.BadRequest}).
   *
   * @return all of them; empty for other reasons than {@link ErrorReason#VALIDATION_FAILED}
   */
  public List<FieldViolation> violations() {
    return details.violations();
  }

  /**
   * Returns the type of the missing resource ({@code google.rpc.ResourceInfo}): {@code IdentityPool}, {@code Identity}
   * or {@code DeveloperUser}.
   *
   * @return the type; empty for other reasons than {@link ErrorReason#RESOURCE_NOT_FOUND}
   */
  public Optional<String> resourceType() {
    return Optional.ofNullable(details.resourceType());
  }

  /**
   * Returns the id of the call in tokend's log, for a defect of the service ({@code google.rpc.RequestInfo}).
   *
   * @return the id; empty for other reasons than {@link ErrorReason#INTERNAL}
   */
  public Optional<String> requestId() {
    return Optional.ofNullable(details.requestId());
  }
}
