package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Status;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DownstreamTest {
  private static final Path POLICY = Path.of("..", "..", "README.md");

  private static TokendException failure(Status.Code code, ErrorReason reason) {
    return new TokendException(
        code, "scripted", new FailureDetails(reason, null, null, null, List.of(), null, null), null);
  }

  /** The rows with reasons of the table in clients/README.md. */
  private static Map<String, String> documented() throws Exception {
    String text = Files.readString(POLICY);
    String section = text.substring(text.indexOf("## What a failure becomes downstream"), text.indexOf("## Calls"));
    Map<String, String> codes = new TreeMap<>();
    for (String row : section.lines().filter(line -> line.startsWith("| `")).toList()) {
      List<String> names =
          Pattern.compile("`(\\w+)`").matcher(row).results().map((MatchResult found) -> found.group(1)).toList();
      names.subList(0, names.size() - 1).forEach(reason -> codes.put(reason, names.get(names.size() - 1)));
    }
    return codes;
  }

  @Test
  void everyReasonHasDocumentedCode() throws Exception {
    Map<String, String> known =
        Arrays.stream(ErrorReason.values())
            .filter(reason -> reason != ErrorReason.UNKNOWN)
            .collect(
                Collectors.toMap(
                    Enum::name, reason -> failure(Status.Code.UNKNOWN, reason).downstreamCode().name()));

    assertThat(known).isEqualTo(documented());
  }

  @Test
  void unknownReasonIsUnavailableDownstream() {
    assertThat(failure(Status.Code.PERMISSION_DENIED, ErrorReason.UNKNOWN).downstreamCode())
        .isEqualTo(Status.Code.UNAVAILABLE);
  }

  @ParameterizedTest
  @CsvSource({
    "DEADLINE_EXCEEDED,DEADLINE_EXCEEDED",
    "UNAUTHENTICATED,UNAUTHENTICATED",
    "PERMISSION_DENIED,PERMISSION_DENIED",
    "UNAVAILABLE,UNAVAILABLE",
    "INTERNAL,UNAVAILABLE",
    "NOT_FOUND,UNAVAILABLE",
    "RESOURCE_EXHAUSTED,UNAVAILABLE",
    "CANCELLED,UNAVAILABLE"
  })
  void failureWithoutReasonIsMappedByCode(Status.Code code, Status.Code expected) {
    assertThat(TokendException.local(code, "scripted", null).downstreamCode()).isEqualTo(expected);
  }

  @Test
  void cancellationByCallerStaysCancelled() {
    TokendException cancelled = TokendException.cancelledByCaller("scripted", null);

    assertThat(cancelled.downstreamCode()).isEqualTo(Status.Code.CANCELLED);
    assertThat(cancelled.copy().downstreamCode()).isEqualTo(Status.Code.CANCELLED);
  }
}
