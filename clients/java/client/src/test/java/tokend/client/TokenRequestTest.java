package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;

class TokenRequestTest {
  private static final List<String> TEXTS = List.of("", "a", "b", "ab");

  private static List<Map<String, String>> maps() {
    List<Map<String, String>> maps = new ArrayList<>(List.of(Map.of()));
    for (String name : TEXTS) {
      for (String value : TEXTS) {
        maps.add(Map.of(name, value));
        maps.add(Map.of(name, value, name + "c", value));
      }
    }
    return maps;
  }

  /** Requests with the same few characters in all fields, to detect fields that a key omits. */
  private static List<TokenRequest> requests() {
    List<TokenRequest> requests = new ArrayList<>();
    for (String pool : TEXTS) {
      for (String identity : TEXTS) {
        for (Map<String, String> logins : maps()) {
          for (Map<String, String> tags : maps()) {
            for (Duration duration : Arrays.asList(null, Duration.ZERO, Duration.ofSeconds(1), Duration.ofNanos(1))) {
              requests.add(new TokenRequest(pool, identity, logins, tags, duration));
            }
          }
        }
      }
    }
    return requests;
  }

  @Test
  void requestsAreEqualOnlyIfTheirMessagesAre() {
    Map<TokenRequest, GetOpenIdTokenForDeveloperIdentityRequest> byKey = new HashMap<>();
    Map<GetOpenIdTokenForDeveloperIdentityRequest, TokenRequest> byMessage = new HashMap<>();
    for (TokenRequest request : requests()) {
      GetOpenIdTokenForDeveloperIdentityRequest message = Conversions.toMessage(request);
      assertThat(byKey.computeIfAbsent(request, key -> message)).isEqualTo(message);
      assertThat(byMessage.computeIfAbsent(message, key -> request)).isEqualTo(request);
    }
    assertThat(byKey).hasSameSizeAs(byMessage).hasSizeGreaterThan(50_000);
  }

  @Test
  void orderOfLoginsDoesNotMatter() {
    TokenRequest one = TokenRequest.builder("pool").login("a", "1").login("b", "2").build();
    TokenRequest other = TokenRequest.builder("pool").login("b", "2").login("a", "1").build();

    assertThat(one).isEqualTo(other).hasSameHashCodeAs(other);
  }

  @Test
  void requestCopiesItsMaps() {
    Map<String, String> logins = new HashMap<>(Map.of("provider", "alice"));
    TokenRequest request = new TokenRequest("pool", "", logins, Map.of(), null);
    logins.put("provider", "bob");

    assertThat(request).isEqualTo(TokenRequest.of("pool", "provider", "alice"));
  }
}
