package tokend.spring;

import com.nimbusds.jose.JWSAlgorithm;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URI;
import java.net.URL;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.springframework.util.StringUtils;
import org.springframework.validation.Errors;

/** Finds all problems of the properties. The texts contain no values. */
final class PropertiesProblems {
  private static final Duration MOST_TOKEN_DURATION = Duration.ofDays(1);
  private static final Duration MOST_LEEWAY = Duration.ofMinutes(5);

  private final Errors errors;

  private PropertiesProblems(Errors errors) {
    this.errors = errors;
  }

  static void find(TokendProperties properties, Errors errors) {
    PropertiesProblems problems = new PropertiesProblems(errors);
    problems.ofClient(properties);
    if (properties.token() != null) {
      problems.ofToken(properties.token());
    }
    if (properties.verifier() != null) {
      problems.ofVerifier(properties.verifier());
    }
  }

  private void ofClient(TokendProperties properties) {
    String target = properties.target();
    problemIf(target != null && target.isBlank(), "target", "must not be empty");
    problemIf(target == null && properties.token() != null, "target", "is required for tokend.token");
    problemIf(
        properties.plaintext() && properties.bearerTokenFile() != null,
        "bearer-token-file",
        "a bearer token is not sent in plaintext: set tokend.plaintext to false");
    problemIf(
        properties.plaintext() && properties.ssl().bundle() != null,
        "ssl.bundle",
        "has no effect in plaintext: set tokend.plaintext to false");
    positive(properties.deadline(), "deadline");
    positive(properties.keepAlive().time(), "keep-alive.time");
    positive(properties.keepAlive().timeout(), "keep-alive.timeout");
    positive(properties.cache().refreshTimeout(), "cache.refresh-timeout");
    problemIf(properties.cache().skew().isNegative(), "cache.skew", "must not be negative");
    problemIf(properties.cache().maxUsers() < 1, "cache.max-users", "must be 1 or more");
  }

  private void ofToken(TokendProperties.Token token) {
    given(token.pool(), "token.pool");
    given(token.provider(), "token.provider");
    if (token.userFile() == null) {
      problemIf(!StringUtils.hasText(token.user()), "token.user", "is required, or tokend.token.user-file");
    } else {
      problemIf(token.user() != null, "token.user-file", "replaces tokend.token.user: only one may be set");
      ofUserFile(token.userFile());
    }
    wholeSeconds(token.duration(), Duration.ofSeconds(1), MOST_TOKEN_DURATION, "token.duration");
  }

  private void ofUserFile(Path file) {
    try {
      problemIf(UserFile.read(file).isEmpty(), "token.user-file", "contains no user");
    } catch (IOException e) {
      problemIf(true, "token.user-file", "cannot be read");
    }
  }

  private void ofVerifier(TokendProperties.Verifier verifier) {
    if (given(verifier.issuer(), "verifier.issuer")) {
      problemIf(!isUrl(String.valueOf(verifier.issuer())), "verifier.issuer", "must be a URL with https or http");
    }
    some(verifier.audiences(), "verifier.audiences");
    some(verifier.algorithms(), "verifier.algorithms");
    problemIf(
        !verifier.algorithms().stream().map(JWSAlgorithm::parse).allMatch(JWSAlgorithm.Family.SIGNATURE::contains),
        "verifier.algorithms",
        "must be algorithms that sign with a private key, such as RS512");
    some(verifier.types(), "verifier.types");
    wholeSeconds(verifier.leeway(), Duration.ZERO, MOST_LEEWAY, "verifier.leeway");
    if (verifier.keysAt() != null) {
      problemIf(!isUrl(verifier.keysAt().toString()), "verifier.keys-at", "must be a URL with https or http");
    }
  }

  private static boolean isUrl(String value) {
    try {
      // Not the host of the URI, which is null if the name has an underscore, as container names may.
      URL url = URI.create(value).toURL();
      return !url.getHost().isEmpty() && List.of("https", "http").contains(url.getProtocol());
    } catch (IllegalArgumentException | MalformedURLException e) {
      return false;
    }
  }

  private boolean given(@Nullable String value, String field) {
    problemIf(!StringUtils.hasText(value), field, "is needed");
    return StringUtils.hasText(value);
  }

  private void some(List<String> values, String field) {
    problemIf(values.isEmpty(), field, "at least one is required");
    problemIf(!values.stream().allMatch(StringUtils::hasText), field, "must not be empty");
  }

  private void positive(Duration value, String field) {
    problemIf(value.isNegative() || value.isZero(), field, "must be positive");
  }

  private void wholeSeconds(@Nullable Duration value, Duration least, Duration most, String field) {
    problemIf(
        value != null && (value.compareTo(least) < 0 || value.compareTo(most) > 0 || value.toNanosPart() != 0),
        field,
        "must be whole seconds from %d to %d".formatted(least.toSeconds(), most.toSeconds()));
  }

  private void problemIf(boolean isWrong, String field, String text) {
    if (isWrong) {
      errors.rejectValue(field, "invalid", text);
    }
  }
}
