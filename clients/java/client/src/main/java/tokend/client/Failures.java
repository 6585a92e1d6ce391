package tokend.client;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.Set;
import java.util.concurrent.CompletionException;
import org.jspecify.annotations.Nullable;

/** Converts gRPC's exceptions to {@link TokendException}. */
final class Failures {
  /** The generic texts of gRPC's transport for any failure of a connection. Names of handlers may follow. */
  private static final Set<String> GENERIC_TEXTS = Set.of("io exception", "http2 exception");

  /** The maximum length of the texts of causes; some contain all received octets. */
  private static final int MAX_LENGTH = 300;

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
    return new TokendException(status.getCode(), status.getCode() + reason + description(status), details, cause);
  }

  private static String description(Status status) {
    String text = status.getDescription();
    Throwable cause = status.getCause();
    if (text == null) {
      return "";
    }
    String first = text.lines().findFirst().orElse("");
    return cause != null && GENERIC_TEXTS.contains(first) ? ": " + first + causes(cause) : ": " + text;
  }

  /** Returns the messages of the causes, except those that an earlier message already contains. */
  private static String causes(Throwable failure) {
    StringBuilder text = new StringBuilder();
    for (Throwable cause = failure; cause != null && text.length() < MAX_LENGTH; cause = cause.getCause()) {
      String message = cause.getMessage();
      if (message != null && text.indexOf(message) < 0) {
        text.append(": ").append(message);
      }
    }
    return text.substring(0, Math.min(text.length(), MAX_LENGTH));
  }

  private static FailureDetails details(Status status, @Nullable Metadata trailers) {
    try {
      com.google.rpc.Status message = StatusProto.fromStatusAndTrailers(status, trailers);
      return FailureDetails.of(message.getDetailsList());
    } catch (IllegalArgumentException e) {
      // The trailer contains no google.rpc.Status: the code is still useful.
      return FailureDetails.NONE;
    }
  }
}
