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
final class PropertiesValidator {
  private static final Duration MAX_TOKEN_DURATION = Duration.ofDays(1);
  private static final Duration MAX_LEEWAY = Duration.ofMinutes(5);

  private final Errors errors;

  private PropertiesValidator(Errors errors) {
    this.errors = errors;
  }

  static void validate(TokendProperties properties, Errors errors) {
    PropertiesValidator validator = new PropertiesValidator(errors);
    validator.checkClient(properties);
    if (properties.token() != null) {
      validator.checkToken(properties.token());
    }
    if (properties.verifier() != null) {
      validator.checkVerifier(properties.verifier());
    }
  }

  private void checkClient(TokendProperties properties) {
    String target = properties.target();
    rejectIf(target != null && target.isBlank(), "target", "must not be empty");
    rejectIf(target == null && properties.token() != null, "target", "is required for tokend.token");
    rejectIf(
        properties.plaintext() && properties.bearerTokenFile() != null,
        "bearer-token-file",
        "a bearer token is not sent in plaintext: set tokend.plaintext to false");
    rejectIf(
        properties.plaintext() && properties.ssl().bundle() != null,
        "ssl.bundle",
        "has no effect in plaintext: set tokend.plaintext to false");
    requirePositive(properties.deadline(), "deadline");
    requirePositive(properties.keepAlive().time(), "keep-alive.time");
    requirePositive(properties.keepAlive().timeout(), "keep-alive.timeout");
    requirePositive(properties.cache().refreshTimeout(), "cache.refresh-timeout");
    rejectIf(properties.cache().skew().isNegative(), "cache.skew", "must not be negative");
    rejectIf(properties.cache().maxUsers() < 1, "cache.max-users", "must be 1 or more");
  }

  private void checkToken(TokendProperties.Token token) {
    requireText(token.pool(), "token.pool");
    requireText(token.provider(), "token.provider");
    if (token.userFile() == null) {
      rejectIf(!StringUtils.hasText(token.user()), "token.user", "is required, or tokend.token.user-file");
    } else {
      rejectIf(token.user() != null, "token.user-file", "replaces tokend.token.user: only one may be set");
      checkUserFile(token.userFile());
    }
    requireWholeSeconds(token.duration(), Duration.ofSeconds(1), MAX_TOKEN_DURATION, "token.duration");
  }

  private void checkUserFile(Path file) {
    try {
      rejectIf(UserFile.read(file).isEmpty(), "token.user-file", "contains no user");
    } catch (IOException e) {
      rejectIf(true, "token.user-file", "cannot be read");
    }
  }

  private void checkVerifier(TokendProperties.Verifier verifier) {
    if (requireText(verifier.issuer(), "verifier.issuer")) {
      rejectIf(!isUrl(String.valueOf(verifier.issuer())), "verifier.issuer", "must be a URL with https or http");
    }
    requireNonEmpty(verifier.audiences(), "verifier.audiences");
    requireNonEmpty(verifier.algorithms(), "verifier.algorithms");
    rejectIf(
        !verifier.algorithms().stream().map(JWSAlgorithm::parse).allMatch(JWSAlgorithm.Family.SIGNATURE::contains),
        "verifier.algorithms",
        "must be algorithms that sign with a private key, such as RS512");
    requireNonEmpty(verifier.types(), "verifier.types");
    requireWholeSeconds(verifier.leeway(), Duration.ZERO, MAX_LEEWAY, "verifier.leeway");
    if (verifier.keysAt() != null) {
      rejectIf(!isUrl(verifier.keysAt().toString()), "verifier.keys-at", "must be a URL with https or http");
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

  private boolean requireText(@Nullable String value, String field) {
    rejectIf(!StringUtils.hasText(value), field, "is needed");
    return StringUtils.hasText(value);
  }

  private void requireNonEmpty(List<String> values, String field) {
    rejectIf(values.isEmpty(), field, "at least one is required");
    rejectIf(!values.stream().allMatch(StringUtils::hasText), field, "must not be empty");
  }

  private void requirePositive(Duration value, String field) {
    rejectIf(value.isNegative() || value.isZero(), field, "must be positive");
  }

  private void requireWholeSeconds(@Nullable Duration value, Duration least, Duration most, String field) {
    rejectIf(
        value != null && (value.compareTo(least) < 0 || value.compareTo(most) > 0 || value.toNanosPart() != 0),
        field,
        "must be whole seconds from %d to %d".formatted(least.toSeconds(), most.toSeconds()));
  }

  private void rejectIf(boolean isWrong, String field, String text) {
    if (isWrong) {
      errors.rejectValue(field, "invalid", text);
    }
  }
}
