package tokend.client.testing;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.gen.RSAKeyGenerator;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Signs tokens of Cognito's shape. Its key is made with it, since that takes longer than a call may. */
final class FakeIssuer {
  private static final String TAGS_CLAIM = "https://aws.amazon.com/tags";

  // The last one signs.
  private final List<RSAKey> keys = new ArrayList<>();

  FakeIssuer() {
    rotateKey();
  }

  synchronized void rotateKey() {
    try {
      keys.add(
          new RSAKeyGenerator(2048)
              .keyIDFromThumbprint(true)
              .keyUse(KeyUse.SIGNATURE)
              .algorithm(JWSAlgorithm.RS512)
              .generate());
    } catch (JOSEException e) {
      throw new IllegalStateException("no RSA key can be made", e);
    }
  }

  synchronized String jwks() {
    return new JWKSet(List.copyOf(keys)).toString(true);
  }

  String token(String identityId, String user, Map<String, String> tags, Instant issuedAt, Instant expireTime) {
    JWTClaimsSet.Builder claims =
        new JWTClaimsSet.Builder()
            .subject(identityId)
            .audience(FakeTokendServer.IDENTITY_POOL_ID)
            .claim("amr", authenticationMethods(user))
            .issuer(FakeTokendServer.ISSUER)
            .expirationTime(Date.from(expireTime))
            .issueTime(Date.from(issuedAt));
    if (!tags.isEmpty()) {
      Map<String, List<String>> values = new TreeMap<>();
      tags.forEach((name, value) -> values.put(name, List.of(value)));
      claims.claim(TAGS_CLAIM, Map.of("principal_tags", values));
    }
    return sign(claims.build());
  }

  private String sign(JWTClaimsSet claims) {
    RSAKey key = current();
    JWSHeader header =
        new JWSHeader.Builder(JWSAlgorithm.RS512).keyID(key.getKeyID()).type(new JOSEObjectType("JWS")).build();
    SignedJWT token = new SignedJWT(header, claims);
    try {
      token.sign(new RSASSASigner(key));
    } catch (JOSEException e) {
      throw new IllegalStateException("the token cannot be signed", e);
    }
    return token.serialize();
  }

  private synchronized RSAKey current() {
    return keys.get(keys.size() - 1);
  }

  private static List<String> authenticationMethods(String user) {
    String provider = FakeTokendServer.DEVELOPER_PROVIDER_NAME;
    return List.of("authenticated", provider, provider + ":" + FakeTokendServer.IDENTITY_POOL_ID + ":" + user);
  }
}
