package tokend.conformance;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonParser;
import io.grpc.NameResolverRegistry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Runs the conformance cases of the clients of all languages. */
class ConformanceTest {
  /** The cases that this client does not support, with the reasons. */
  private static final Map<String, String> LEFT_OUT = Map.of();

  @TestFactory
  List<DynamicTest> cases() throws IOException {
    Harness harness = Harness.find();
    NameResolverRegistry.getDefaultRegistry().register(new Replicas());
    Verifier verifier = new Verifier(harness.issuer(), harness.issuer(), null, InstantSource.system());
    try (Stream<Path> files = Files.list(harness.cases())) {
      List<Path> cases = files.filter(file -> file.toString().endsWith(".json")).sorted().toList();
      assertThat(cases).isNotEmpty();
      return cases.stream().map(file -> test(harness, verifier, file)).toList();
    }
  }

  private static DynamicTest test(Harness harness, Verifier verifier, Path file) {
    String name = file.getFileName().toString().replaceFirst("\\.json$", "");
    return DynamicTest.dynamicTest(
        name,
        () -> {
          Assumptions.assumeFalse(LEFT_OUT.containsKey(name), () -> name + ": " + LEFT_OUT.get(name));
          harness.conduct("/reset");
          try (Play play = new Play(harness, verifier, JsonParser.parseString(Files.readString(file)))) {
            play.play();
          }
        });
  }
}
