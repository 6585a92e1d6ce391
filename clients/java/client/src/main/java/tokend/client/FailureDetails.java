package tokend.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The contents of the google.rpc messages in the details of a status. */
record FailureDetails(
    @Nullable ErrorReason reason,
    @Nullable String awsErrorCode,
    @Nullable String awsRequestId,
    @Nullable Duration retryDelay,
    List<FieldViolation> violations,
    @Nullable String resourceType,
    @Nullable String requestId) {

  static final FailureDetails NONE = new FailureDetails(null, null, null, null, List.of(), null, null);

  private static final String DOMAIN = "tokend";

  /**
   * Reads details.
   *
   * @throws ProtocolException one of them breaks the contract
   */
  static FailureDetails of(List<Any> details) {
    FailureDetails found = NONE;
    for (Any detail : details) {
      found = found.withWhatCanBeRead(detail);
    }
    return found;
  }

  private FailureDetails withWhatCanBeRead(Any detail) {
    try {
      return with(detail);
    } catch (InvalidProtocolBufferException e) {
      // The failure itself matters more than an unreadable detail.
      return this;
    }
  }

  private FailureDetails with(Any detail) throws InvalidProtocolBufferException {
    if (detail.is(ErrorInfo.class)) {
      return withErrorInfo(detail.unpack(ErrorInfo.class));
    }
    if (detail.is(RetryInfo.class)) {
      Duration delay = Conversions.toDelay(detail.unpack(RetryInfo.class).getRetryDelay());
      return new FailureDetails(reason, awsErrorCode, awsRequestId, delay, violations, resourceType, requestId);
    }
    if (detail.is(BadRequest.class)) {
      List<FieldViolation> fields =
          detail.unpack(BadRequest.class).getFieldViolationsList().stream()
              .map(violation -> new FieldViolation(violation.getField(), violation.getDescription()))
              .toList();
      return new FailureDetails(reason, awsErrorCode, awsRequestId, retryDelay, fields, resourceType, requestId);
    }
    if (detail.is(ResourceInfo.class)) {
      String type = detail.unpack(ResourceInfo.class).getResourceType();
      return new FailureDetails(reason, awsErrorCode, awsRequestId, retryDelay, violations, type, requestId);
    }
    if (detail.is(RequestInfo.class)) {
      String id = detail.unpack(RequestInfo.class).getRequestId();
      return new FailureDetails(reason, awsErrorCode, awsRequestId, retryDelay, violations, resourceType, id);
    }
    return this;
  }

  private FailureDetails withErrorInfo(ErrorInfo info) {
    if (!info.getDomain().equals(DOMAIN)) {
      return this;
    }
    return new FailureDetails(
        ErrorReason.named(info.getReason()),
        info.getMetadataMap().get("aws_error_code"),
        info.getMetadataMap().get("aws_request_id"),
        retryDelay,
        violations,
        resourceType,
        requestId);
  }
}
