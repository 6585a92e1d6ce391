package tokend.spring;

import static org.assertj.core.api.Assertions.assertThat;

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

class TokendPropertiesTest {
  private static Set<String> found(String pattern, String text) {
    return Pattern.compile(pattern)
        .matcher(text)
        .results()
        .map(result -> result.group(1).replace(".NAME", ""))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  /** Editors complete what the metadata has; README.md tells the same. */
  @Test
  void thePageHasAllProperties() throws Exception {
    String metadata;
    try (InputStream file =
        Objects.requireNonNull(
            TokendProperties.class.getResourceAsStream("/META-INF/spring-configuration-metadata.json"))) {
      metadata = new String(file.readAllBytes(), StandardCharsets.UTF_8);
    }
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
  void noLoginIsShown() {
    var token =
        new TokendProperties.Token(
            "pool", "provider", "a-secret-login", null, Map.of("team", "a-secret-team"), null);

    assertThat(token.toString()).contains("provider", "team").doesNotContain("a-secret");
  }
}
