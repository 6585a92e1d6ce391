package tokend.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
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
    Optional<ErrorInfo> info = last(all(details, ErrorInfo.class).filter(each -> each.getDomain().equals(DOMAIN)));
    return new FailureDetails(
        info.map(each -> ErrorReason.named(each.getReason())).orElse(null),
        info.map(each -> each.getMetadataMap().get("aws_error_code")).orElse(null),
        info.map(each -> each.getMetadataMap().get("aws_request_id")).orElse(null),
        last(all(details, RetryInfo.class)).map(retry -> Conversions.toDelay(retry.getRetryDelay())).orElse(null),
        last(all(details, BadRequest.class)).map(FailureDetails::violations).orElse(List.of()),
        last(all(details, ResourceInfo.class)).map(ResourceInfo::getResourceType).orElse(null),
        last(all(details, RequestInfo.class)).map(RequestInfo::getRequestId).orElse(null));
  }

  private static List<FieldViolation> violations(BadRequest request) {
    return request.getFieldViolationsList().stream()
        .map(violation -> new FieldViolation(violation.getField(), violation.getDescription()))
        .toList();
  }

  /** Returns the details of one type, except unreadable ones: the failure itself matters more. */
  private static <M extends Message> Stream<M> all(List<Any> details, Class<M> type) {
    return details.stream()
        .filter(detail -> detail.is(type))
        .flatMap(
            detail -> {
              try {
                return Stream.of(detail.unpack(type));
              } catch (InvalidProtocolBufferException e) {
                return Stream.empty();
              }
            });
  }

  private static <M> Optional<M> last(Stream<M> messages) {
    return messages.reduce((earlier, later) -> later);
  }
}
