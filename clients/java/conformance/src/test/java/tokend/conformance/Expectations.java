package tokend.conformance;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import tokend.client.FieldViolation;
import tokend.client.TokendException;

/** Compares results with the expectations of a case. */
final class Expectations {
  private static final JsonElement ANY_TEXT = new JsonPrimitive("*");
  private static final JsonElement ABSENT = JsonParser.parseString("{\"absent\": true}");

  private Expectations() {}

  /** Objects may have more members than expected; lists are compared as sets. */
  static void assertMatches(JsonElement expected, @Nullable JsonElement actual, String path) {
    if (expected.equals(ABSENT)) {
      assertThat(isEmpty(actual)).as(path + " is absent").isTrue();
    } else if (expected.equals(ANY_TEXT)) {
      assertThat(isEmpty(actual)).as(path + " is a text").isFalse();
    } else if (expected.isJsonObject()) {
      assertThat(actual).as(path).isInstanceOf(JsonObject.class);
      JsonObject object = (JsonObject) actual;
      expected
          .getAsJsonObject()
          .asMap()
          .forEach((name, value) -> assertMatches(value, object == null ? null : object.get(name), path + "." + name));
    } else if (expected.isJsonArray() && actual != null && actual.isJsonArray()) {
      assertThat(actual.getAsJsonArray())
          .as(path)
          .containsExactlyInAnyOrderElementsOf(expected.getAsJsonArray().asList());
    } else {
      assertThat(actual).as(path).isEqualTo(expected);
    }
  }

  private static boolean isEmpty(@Nullable JsonElement element) {
    if (element == null || element.isJsonNull()) {
      return true;
    }
    return element.isJsonArray() ? element.getAsJsonArray().isEmpty() : element.getAsString().isEmpty();
  }

  static void assertFailed(Members expected, @Nullable Throwable thrown) {
    assertThat(thrown).isInstanceOf(TokendException.class);
    if (!(thrown instanceof TokendException failure)) {
      return;
    }
    JsonElement reason = expected.take("reason");
    assertThat(failure.code().name()).as(failure.toString()).isEqualTo(expected.text("code"));
    assertThat(failure.reason().map(Enum::name))
        .as(failure.toString())
        .isEqualTo(reason.isJsonNull() ? Optional.empty() : Optional.of(reason.getAsString()));
    expected.find("aws_error_code").ifPresent(code -> assertThat(failure.awsErrorCode()).contains(code.getAsString()));
    expected
        .find("aws_request_id")
        .ifPresent(is -> assertThat(failure.awsRequestId().isPresent()).isEqualTo(is.getAsBoolean()));
    expected
        .find("retry_delay")
        .ifPresent(is -> assertThat(failure.retryDelay().isPresent()).isEqualTo(is.getAsBoolean()));
    expected
        .find("violations")
        .ifPresent(
            fields ->
                assertThat(failure.violations().stream().map(FieldViolation::field).distinct())
                    .containsExactlyInAnyOrderElementsOf(
                        fields.getAsJsonArray().asList().stream().map(JsonElement::getAsString).toList()));
    expected
        .find("downstream")
        .ifPresent(code -> assertThat(failure.downstreamCode().name()).isEqualTo(code.getAsString()));
    expected.find("resource_type").ifPresent(type -> assertThat(failure.resourceType()).contains(type.getAsString()));
    expected.end();
  }
}
