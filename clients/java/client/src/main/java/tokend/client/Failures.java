package tokend.client;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.concurrent.CompletionException;
import org.jspecify.annotations.Nullable;

/** From what gRPC throws to what this client throws. */
final class Failures {
  private Failures() {}

  static TokendException toTokendException(Throwable thrown) {
    Throwable failure = thrown instanceof CompletionException && thrown.getCause() != null ? thrown.getCause() : thrown;
    if (failure instanceof TokendException known) {
      return known;
    }
    if (failure instanceof StatusRuntimeException || failure instanceof StatusException) {
      return ofStatus(Status.fromThrowable(failure), Status.trailersFromThrowable(failure), failure);
    }
    if (failure instanceof ProtocolException broken) {
      return TokendException.protocolError(broken, broken);
    }
    return TokendException.local(Status.Code.UNKNOWN, failure.getClass().getSimpleName(), failure);
  }

  private static TokendException ofStatus(Status status, @Nullable Metadata trailers, Throwable cause) {
    FailureDetails details;
    try {
      details = details(status, trailers);
    } catch (ProtocolException e) {
      return TokendException.protocolError(e, cause);
    }
    String reason = details.reason() == null ? "" : " " + details.reason();
    String description = status.getDescription() == null ? "" : ": " + status.getDescription();
    return new TokendException(status.getCode(), status.getCode() + reason + description, details, cause);
  }

  private static FailureDetails details(Status status, @Nullable Metadata trailers) {
    try {
      com.google.rpc.Status message = StatusProto.fromStatusAndTrailers(status, trailers);
      return FailureDetails.of(message.getDetailsList());
    } catch (IllegalArgumentException e) {
      // A trailer that holds no google.rpc.Status: the code still tells what happened.
      return FailureDetails.NONE;
    }
  }
}
