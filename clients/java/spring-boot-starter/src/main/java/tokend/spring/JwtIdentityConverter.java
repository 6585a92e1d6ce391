package tokend.spring;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.springframework.core.convert.converter.Converter;
import org.springframework.security.oauth2.jwt.Jwt;
import tokend.verifier.Identity;

/** Converts a token that Spring Security has verified to its identity. */
public final class JwtIdentityConverter implements Converter<Jwt, Identity> {
  private static final String TAGS_CLAIM = "https://aws.amazon.com/tags";

  /** Creates a converter. */
  public JwtIdentityConverter() {}

  /**
   * Returns the identity of a token.
   *
   * @param token a token from {@link TokendJwtDecoder}
   * @return the identity, with the first audience of the token as its pool
   */
  @Override
  public Identity convert(Jwt token) {
    List<String> methods = token.getClaimAsStringList("amr");
    return new Identity(
        Objects.requireNonNull(token.getSubject()),
        Objects.requireNonNull(token.getAudience()).get(0),
        Objects.requireNonNull(token.getClaimAsString("iss")),
        methods == null ? List.of() : methods,
        principalTags(token.getClaimAsMap(TAGS_CLAIM)),
        Objects.requireNonNull(token.getIssuedAt()),
        Objects.requireNonNull(token.getExpiresAt()));
  }

  /** Each tag is a list of one value. */
  private static Map<String, String> principalTags(@Nullable Map<String, Object> claim) {
    Map<String, String> tags = new TreeMap<>();
    if (claim != null && claim.get("principal_tags") instanceof Map<?, ?> values) {
      for (Map.Entry<?, ?> tag : values.entrySet()) {
        if (tag.getValue() instanceof List<?> list && !list.isEmpty()) {
          tags.put(String.valueOf(tag.getKey()), String.valueOf(list.get(0)));
        }
      }
    }
    return tags;
  }
}
