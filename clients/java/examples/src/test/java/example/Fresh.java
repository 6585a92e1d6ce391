package example;

import java.time.Duration;
import tokend.client.CachedTokenSource;
import tokend.client.CachingPolicy;
import tokend.client.Client;
import tokend.client.TokenCache;
import tokend.client.TokenRequest;

final class Fresh {
  private static final String POOL = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21";
  private static final String PROVIDER = "login.example.internal";

  static String one(Client client) {
    try (CachedTokenSource source = client.tokenSource(TokenRequest.of(POOL, PROVIDER, "billing-service"))) {
      return source.token().value(); // as often as you like
    }
  }

  static String many(Client client, String user) {
    try (TokenCache cache = client.tokenCache()) {
      return cache.token(TokenRequest.of(POOL, PROVIDER, user)).value();
    }
  }

  static TokenCache tuned(Client client) {
    CachingPolicy policy = CachingPolicy.defaults().withSkew(Duration.ofSeconds(30));
    return client.tokenCache(policy, 50_000);
  }

  private Fresh() {}
}
