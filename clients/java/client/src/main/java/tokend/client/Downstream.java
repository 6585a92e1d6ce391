package tokend.client;

import io.grpc.Status;
import java.util.EnumMap;
import java.util.Map;

/** The code with which a service should fail its own call when there is no token, by the reason of the refresh. */
final class Downstream {
  private static final Map<ErrorReason, Status.Code> CODES = new EnumMap<>(ErrorReason.class);

  static {
    put(Status.Code.UNAUTHENTICATED, ErrorReason.CALLER_UNAUTHENTICATED);
    put(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.NOT_AUTHORIZED,
        ErrorReason.CALLER_NOT_ALLOWED,
        ErrorReason.VALIDATION_FAILED,
        ErrorReason.INVALID_PARAMETER,
        ErrorReason.RESOURCE_NOT_FOUND,
        ErrorReason.RESOURCE_CONFLICT,
        ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED,
        ErrorReason.LIMIT_EXCEEDED,
        ErrorReason.UNSUPPORTED_BY_ENGINE,
        ErrorReason.METADATA_TOO_LARGE);
    put(
        Status.Code.UNAVAILABLE,
        ErrorReason.TOO_MANY_REQUESTS,
        ErrorReason.ENGINE_UNAVAILABLE,
        ErrorReason.LOGIN_PROVIDER_UNAVAILABLE,
        ErrorReason.ENGINE_CREDENTIALS_REJECTED,
        ErrorReason.INTERNAL,
        ErrorReason.UNKNOWN);
  }

  private Downstream() {}

  static Status.Code codeOf(TokendException failure) {
    return failure
        .reason()
        .map(reason -> CODES.getOrDefault(reason, Status.Code.UNAVAILABLE))
        .orElseGet(() -> codeWithoutReason(failure));
  }

  private static Status.Code codeWithoutReason(TokendException failure) {
    return switch (failure.code()) {
      case DEADLINE_EXCEEDED, UNAUTHENTICATED, PERMISSION_DENIED -> failure.code();
      case CANCELLED -> failure.isCancelledByCaller() ? Status.Code.CANCELLED : Status.Code.UNAVAILABLE;
      default -> Status.Code.UNAVAILABLE;
    };
  }

  private static void put(Status.Code code, ErrorReason... reasons) {
    for (ErrorReason reason : reasons) {
      CODES.put(reason, code);
    }
  }
}
