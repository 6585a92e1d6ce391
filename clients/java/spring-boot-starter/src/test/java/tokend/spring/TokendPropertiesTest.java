package tokend.spring;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.MapConfigurationPropertySource;

class TokendPropertiesTest {
  private static Set<String> found(String pattern, String text) {
    return Pattern.compile(pattern)
        .matcher(text)
        .results()
        .map(result -> result.group(1).replace(".NAME", ""))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private static String metadata() throws IOException {
    try (InputStream file =
        Objects.requireNonNull(
            TokendProperties.class.getResourceAsStream("/META-INF/spring-configuration-metadata.json"))) {
      return new String(file.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  /** The metadata, which editors use for completion, has the same properties as README.md. */
  @Test
  void readmeListsAllProperties() throws Exception {
    String metadata = metadata();
    String rows =
        Files.readString(Path.of("../README.md"))
            .lines()
            .filter(line -> line.startsWith("| `tokend."))
            .map(line -> line.split("\\|", -1)[1])
            .collect(Collectors.joining());

    String properties = metadata.substring(metadata.indexOf("\"properties\""));
    assertThat(found("`(tokend\\.[a-zA-Z.-]+)`", rows))
        .isEqualTo(found("\"name\": \"(tokend\\.[a-z.-]+)\"", properties));
  }

  @Test
  void durationWithoutUnitIsInSeconds() throws Exception {
    Set<String> durations =
        found("\"name\": \"(tokend\\.[a-z.-]+)\",\\s+\"type\": \"java\\.time\\.Duration\"", metadata());
    var source = new MapConfigurationPropertySource(durations.stream().collect(Collectors.toMap(name -> name, name -> "7")));

    String bound = new Binder(source).bind("tokend", TokendProperties.class).get().toString();

    assertThat(durations).hasSize(7).contains("tokend.deadline", "tokend.cache.skew");
    assertThat(bound.split("=PT7S", -1)).as(bound).hasSize(durations.size() + 1);
  }

  @Test
  void toStringContainsNoLoginsOrTagValues() {
    var token =
        new TokendProperties.Token(
            "pool", "provider", "a-secret-login", null, Map.of("team", "a-secret-team"), null);

    assertThat(token.toString()).contains("provider", "team").doesNotContain("a-secret");
  }
}
