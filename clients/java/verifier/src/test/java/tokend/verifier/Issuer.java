package tokend.verifier;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import java.time.Instant;
import java.util.Date;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** An issuer whose discovery document has another URL of the keys than tokend's. */
final class Issuer {
  /** The issuer in the document; null for the real one. */
  @Nullable String name;

  /** Another key in the key set, as JSON. */
  @Nullable String otherKey;

  /** Replaces the document or the key set. */
  @Nullable String document;

  @Nullable String keySet;

  private final ECKey key = new ECKeyGenerator(Curve.P_256).keyID("1").generate();

  Issuer() throws JOSEException {}

  Pages pages() {
    Pages[] own = new Pages[1];
    own[0] =
        new Pages(
            Map.of(
                "/.well-known/openid-configuration",
                () -> document == null ? discovery(own[0]) : document,
                "/some/keys",
                () -> keySet == null ? keySet() : keySet));
    return own[0];
  }

  private String discovery(Pages own) {
    return JSONObjectUtils.toJSONString(
        Map.of(
            "issuer", name == null ? own.at("").toString() : name,
            "jwks_uri", own.at("/some/keys").toString()));
  }

  private String keySet() {
    String own = key.toPublicJWK().toJSONString();
    return "{\"keys\": [" + (otherKey == null ? "" : otherKey + ", ") + own + "]}";
  }

  String token(String issuer, String audience) throws JOSEException {
    return signed(header().type(JOSEObjectType.JWT), claims(issuer, audience));
  }

  String tokenWithoutType(String issuer, String audience) throws JOSEException {
    return signed(header(), claims(issuer, audience));
  }

  String tokenWithoutEnd(String issuer, String audience) throws JOSEException {
    return signed(
        header().type(JOSEObjectType.JWT), claims(issuer, audience).expirationTime(null).serializeNullClaims(true));
  }

  String tokenWithClaim(String issuer, String audience, String claim, Object value) throws JOSEException {
    return signed(header().type(JOSEObjectType.JWT), claims(issuer, audience).claim(claim, value));
  }

  String tokenOfAnotherKey(String issuer, String audience, String keyId) throws JOSEException {
    return signed(
        new JWSHeader.Builder(JWSAlgorithm.ES256).keyID(keyId).type(JOSEObjectType.JWT), claims(issuer, audience));
  }

  private static JWSHeader.Builder header() {
    return new JWSHeader.Builder(JWSAlgorithm.ES256).keyID("1");
  }

  private static JWTClaimsSet.Builder claims(String issuer, String audience) {
    Instant now = Instant.now();
    return new JWTClaimsSet.Builder()
        .issuer(issuer)
        .audience(audience)
        .subject("us-east-1:someone")
        .issueTime(Date.from(now))
        .expirationTime(Date.from(now.plusSeconds(900)));
  }

  private String signed(JWSHeader.Builder header, JWTClaimsSet.Builder claims) throws JOSEException {
    SignedJWT token = new SignedJWT(header.build(), claims.build());
    token.sign(new ECDSASigner(key));
    return token.serialize();
  }
}
