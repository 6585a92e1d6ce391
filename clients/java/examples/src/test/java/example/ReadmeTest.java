package example;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Checks that README.md contains the code that is compiled here. */
class ReadmeTest {
  private static final Path PAGE = Path.of("../README.md");

  private static List<String> snippets(String language) throws IOException {
    Matcher block = Pattern.compile("```" + language + "\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(PAGE));
    List<String> found = new ArrayList<>();
    while (block.find()) {
      found.add(block.group(1));
    }
    return found;
  }

  /** Returns lines without their indentation, which differs between the page and the code. */
  private static String flat(String text) {
    return text.lines().map(String::strip).filter(line -> !line.isEmpty()).reduce("\n", (all, line) -> all + line + "\n");
  }

  private static List<String> sources() throws IOException {
    List<String> sources = new ArrayList<>();
    for (String module : List.of(".", "../examples-spring")) {
      try (Stream<Path> files = Files.walk(Path.of(module, "src/test/java"))) {
        for (Path file : files.filter(Files::isRegularFile).toList()) {
          sources.add(flat(Files.readString(file)));
        }
      }
    }
    return sources;
  }

  @Test
  void everyJavaSnippetIsAnExample() throws IOException {
    List<String> sources = sources();
    List<String> snippets = snippets("java");

    assertThat(snippets).hasSizeGreaterThanOrEqualTo(6);
    assertThat(snippets).allSatisfy(snippet -> assertThat(sources).anyMatch(source -> source.contains(flat(snippet))));
  }

  @Test
  void dependenciesHaveVersionOfRelease() throws IOException {
    String parent = Files.readString(Path.of("../pom.xml"));
    Matcher version = Pattern.compile("<artifactId>tokend-java</artifactId>\\s*(<version>.*?</version>)").matcher(parent);

    assertThat(version.find()).isTrue();
    assertThat(snippets("xml"))
        .isNotEmpty()
        .allSatisfy(
            snippet ->
                assertThat(Pattern.compile("<version>.*?</version>").matcher(snippet).results())
                    .isNotEmpty()
                    .allMatch(found -> found.group().equals(version.group(1))));
  }
}
