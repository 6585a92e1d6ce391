package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ServiceConfigTest {
  @Test
  void serviceConfigMatchesReadme() throws IOException {
    String page = Files.readString(Path.of("../../README.md"));
    String json = page.substring(page.indexOf("```json") + "```json".length());
    Map<String, Object> shipped =
        new Gson().fromJson(json.substring(0, json.indexOf("```")), new TypeToken<Map<String, Object>>() {}.getType());

    assertThat(ServiceConfig.withTimeout(Duration.ofSeconds(3))).isEqualTo(shipped);
  }

  @ParameterizedTest
  @CsvSource({"PT3S,3s", "PT0.5S,0.5s", "PT1M,60s", "PT0.000000001S,0.000000001s"})
  void durationsHaveJsonFormatOfProtobuf(Duration timeout, String written) {
    assertThat(ServiceConfig.withTimeout(timeout))
        .extractingByKey("methodConfig", InstanceOfAssertFactories.list(Map.class))
        .singleElement(InstanceOfAssertFactories.MAP)
        .containsEntry("timeout", written);
  }
}
