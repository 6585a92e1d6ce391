package tokend.client.testing;

import static java.util.Map.entry;

import com.google.protobuf.Any;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tokend.client.ErrorReason;
import tokend.client.FieldViolation;

/**
 * Describes how a call fails.
 *
 * @param code the status code
 * @param reason the contract's reason; null: none, as if tokend was not reached
 * @param message a human-readable description
 * @param retryDelay how long the caller should wait before the next try; null: not sent
 * @param awsRequestId the id of a request to Cognito; empty: there was none
 * @param violations fields that break their limits
 * @param resourceType the type of the missing resource; empty: no such detail
 * @param resourceName the id of the missing resource, if it is not secret
 * @param quotaSubject the id of the identity that would have too many logins; empty: no such detail
 * @param hangs whether the call gets no response until its caller's deadline
 */
public record Failure(
    Status.Code code,
    @Nullable ErrorReason reason,
    String message,
    @Nullable Duration retryDelay,
    String awsRequestId,
    List<FieldViolation> violations,
    String resourceType,
    String resourceName,
    String quotaSubject,
    boolean hangs) {

  private record Row(Status.Code code, String awsErrorCode) {}

  private static final Map<ErrorReason, Row> ROWS =
      Map.ofEntries(
          entry(ErrorReason.UNKNOWN, new Row(Status.Code.UNKNOWN, "")),
          entry(ErrorReason.VALIDATION_FAILED, new Row(Status.Code.INVALID_ARGUMENT, "ValidationException")),
          entry(ErrorReason.INVALID_PARAMETER, new Row(Status.Code.INVALID_ARGUMENT, "InvalidParameterException")),
          entry(ErrorReason.NOT_AUTHORIZED, new Row(Status.Code.PERMISSION_DENIED, "NotAuthorizedException")),
          entry(ErrorReason.RESOURCE_NOT_FOUND, new Row(Status.Code.NOT_FOUND, "ResourceNotFoundException")),
          entry(ErrorReason.RESOURCE_CONFLICT, new Row(Status.Code.FAILED_PRECONDITION, "ResourceConflictException")),
          entry(
              ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED,
              new Row(Status.Code.ALREADY_EXISTS, "DeveloperUserAlreadyRegisteredException")),
          entry(ErrorReason.LIMIT_EXCEEDED, new Row(Status.Code.FAILED_PRECONDITION, "LimitExceededException")),
          entry(ErrorReason.TOO_MANY_REQUESTS, new Row(Status.Code.RESOURCE_EXHAUSTED, "TooManyRequestsException")),
          entry(ErrorReason.LOGIN_PROVIDER_UNAVAILABLE, new Row(Status.Code.UNAVAILABLE, "ExternalServiceException")),
          entry(ErrorReason.ENGINE_UNAVAILABLE, new Row(Status.Code.UNAVAILABLE, "InternalErrorException")),
          entry(ErrorReason.ENGINE_CREDENTIALS_REJECTED, new Row(Status.Code.UNAVAILABLE, "")),
          entry(ErrorReason.CALLER_UNAUTHENTICATED, new Row(Status.Code.UNAUTHENTICATED, "")),
          entry(ErrorReason.CALLER_NOT_ALLOWED, new Row(Status.Code.PERMISSION_DENIED, "")),
          entry(ErrorReason.UNSUPPORTED_BY_ENGINE, new Row(Status.Code.UNIMPLEMENTED, "")),
          entry(ErrorReason.INTERNAL, new Row(Status.Code.INTERNAL, "")),
          entry(ErrorReason.METADATA_TOO_LARGE, new Row(Status.Code.RESOURCE_EXHAUSTED, "")));

  /**
   * Returns a failure with a reason and the status code that tokend uses for it.
   *
   * @param reason the reason
   * @return the failure
   */
  public static Failure of(ErrorReason reason) {
    return new Failure(row(reason).code(), reason, "as the test asked for", null, "", List.of(), "", "", "", false);
  }

  /**
   * Returns a failure without a reason, like that of a broken connection.
   *
   * @param code the status code
   * @return the failure
   */
  public static Failure of(Status.Code code) {
    return new Failure(code, null, "as the test asked for", null, "", List.of(), "", "", "", false);
  }

  /**
   * Sets how long the caller should wait before the next try.
   *
   * @param value the delay
   * @return the changed failure
   */
  public Failure withRetryDelay(Duration value) {
    return new Failure(
        code, reason, message, value, awsRequestId, violations, resourceType, resourceName, quotaSubject, hangs);
  }

  /**
   * Sets the fields that break their limits.
   *
   * @param value the fields
   * @return the changed failure
   */
  public Failure withViolations(List<FieldViolation> value) {
    List<FieldViolation> fields = List.copyOf(value);
    return new Failure(
        code, reason, message, retryDelay, awsRequestId, fields, resourceType, resourceName, quotaSubject, hangs);
  }

  Failure withMessage(String value) {
    return new Failure(
        code, reason, value, retryDelay, awsRequestId, violations, resourceType, resourceName, quotaSubject, hangs);
  }

  Failure withResource(String type, String name) {
    return new Failure(code, reason, message, retryDelay, awsRequestId, violations, type, name, quotaSubject, hangs);
  }

  Failure withQuotaSubject(String value) {
    return new Failure(
        code, reason, message, retryDelay, awsRequestId, violations, resourceType, resourceName, value, hangs);
  }

  /**
   * Returns a failure without a response, like that of a hanging server.
   *
   * @return the failure
   */
  public static Failure hanging() {
    return new Failure(Status.Code.UNAVAILABLE, null, "never sent", null, "", List.of(), "", "", "", true);
  }

  StatusRuntimeException toException() {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage(message);
    if (reason != null) {
      status.addDetails(Any.pack(errorInfo(reason)));
    }
    if (retryDelay != null) {
      status.addDetails(Any.pack(retryInfo(retryDelay)));
    }
    if (!resourceType.isEmpty()) {
      ResourceInfo.Builder resource = ResourceInfo.newBuilder().setResourceType(resourceType);
      status.addDetails(Any.pack(resource.setResourceName(resourceName).setDescription(message).build()));
    }
    if (!quotaSubject.isEmpty()) {
      QuotaFailure.Builder quota = QuotaFailure.newBuilder();
      quota.addViolationsBuilder().setSubject(quotaSubject).setDescription(message);
      status.addDetails(Any.pack(quota.build()));
    }
    if (!violations.isEmpty()) {
      status.addDetails(Any.pack(badRequest()));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  private ErrorInfo errorInfo(ErrorReason because) {
    ErrorInfo.Builder info = ErrorInfo.newBuilder().setDomain("tokend").setReason(because.name());
    if (!row(because).awsErrorCode().isEmpty()) {
      info.putMetadata("aws_error_code", row(because).awsErrorCode());
    }
    if (!awsRequestId.isEmpty()) {
      info.putMetadata("aws_request_id", awsRequestId);
    }
    return info.build();
  }

  private BadRequest badRequest() {
    BadRequest.Builder bad = BadRequest.newBuilder();
    for (FieldViolation violation : violations) {
      bad.addFieldViolationsBuilder().setField(violation.field()).setDescription(violation.description());
    }
    return bad.build();
  }

  private static RetryInfo retryInfo(Duration delay) {
    RetryInfo.Builder retry = RetryInfo.newBuilder();
    retry.getRetryDelayBuilder().setSeconds(delay.getSeconds()).setNanos(delay.getNano());
    return retry.build();
  }

  private static Row row(ErrorReason reason) {
    Row row = ROWS.get(reason);
    if (row == null) {
      throw new IllegalArgumentException("no status code for " + reason);
    }
    return row;
  }
}
