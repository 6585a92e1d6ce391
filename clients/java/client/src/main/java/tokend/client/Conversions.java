package tokend.client;

import com.google.protobuf.Timestamp;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;
import tokend.v1.MergeDeveloperIdentitiesRequest;
import tokend.v1.UnlinkDeveloperIdentityRequest;

/** Converts between the records of this package and the messages of the contract. */
final class Conversions {
  // The ranges of google.protobuf.Duration and Timestamp.
  private static final long MAX_SECONDS = 315_576_000_000L;
  private static final long FIRST_SECOND = -62_135_596_800L;
  private static final long LAST_SECOND = 253_402_300_799L;
  private static final long MAX_NANOS = 999_999_999;

  private Conversions() {}

  static GetOpenIdTokenForDeveloperIdentityRequest toMessage(TokenRequest request) {
    GetOpenIdTokenForDeveloperIdentityRequest.Builder message =
        GetOpenIdTokenForDeveloperIdentityRequest.newBuilder()
            .setIdentityPoolId(text(request.identityPoolId(), "identityPoolId"))
            .setIdentityId(text(request.identityId(), "identityId"))
            .putAllLogins(texts(request.logins(), "logins"))
            .putAllPrincipalTags(texts(request.principalTags(), "principalTags"));
    Duration tokenDuration = request.tokenDuration();
    if (tokenDuration != null) {
      message.getTokenDurationBuilder().setSeconds(tokenDuration.getSeconds()).setNanos(tokenDuration.getNano());
    }
    return message.build();
  }

  static Token toToken(GetOpenIdTokenForDeveloperIdentityResponse message) {
    if (!message.hasExpireTime()) {
      throw new ProtocolException("no expire_time");
    }
    Instant issueTime = message.hasIssueTime() ? toInstant(message.getIssueTime()) : null;
    Instant expireTime = toInstant(message.getExpireTime());
    if (issueTime != null && !expireTime.isAfter(issueTime)) {
      throw new ProtocolException("expire_time is not after issue_time");
    }
    return new Token(
        message.getIdentityId(), message.getToken(), issueTime, expireTime, toInstant(message.getRefreshTime()));
  }

  static LookupDeveloperIdentityRequest toMessage(LookupRequest request) {
    return LookupDeveloperIdentityRequest.newBuilder()
        .setIdentityPoolId(text(request.identityPoolId(), "identityPoolId"))
        .setIdentityId(text(request.identityId(), "identityId"))
        .setDeveloperUserIdentifier(text(request.developerUserIdentifier(), "developerUserIdentifier"))
        .setMaxResults(request.maxResults())
        .setNextToken(text(request.nextToken(), "nextToken"))
        .build();
  }

  static LookupResult toResult(LookupDeveloperIdentityResponse message) {
    return new LookupResult(
        message.getIdentityId(), message.getDeveloperUserIdentifierListList(), message.getNextToken());
  }

  static MergeDeveloperIdentitiesRequest toMessage(MergeRequest request) {
    return MergeDeveloperIdentitiesRequest.newBuilder()
        .setSourceUserIdentifier(text(request.sourceUserIdentifier(), "sourceUserIdentifier"))
        .setDestinationUserIdentifier(text(request.destinationUserIdentifier(), "destinationUserIdentifier"))
        .setDeveloperProviderName(text(request.developerProviderName(), "developerProviderName"))
        .setIdentityPoolId(text(request.identityPoolId(), "identityPoolId"))
        .build();
  }

  static UnlinkDeveloperIdentityRequest toMessage(UnlinkRequest request) {
    return UnlinkDeveloperIdentityRequest.newBuilder()
        .setIdentityId(text(request.identityId(), "identityId"))
        .setIdentityPoolId(text(request.identityPoolId(), "identityPoolId"))
        .setDeveloperProviderName(text(request.developerProviderName(), "developerProviderName"))
        .setDeveloperUserIdentifier(text(request.developerUserIdentifier(), "developerUserIdentifier"))
        .build();
  }

  /** Converts a delay, which must not be negative by the contract. */
  static Duration toDelay(com.google.protobuf.Duration message) {
    boolean isDelay = isWithin(message.getSeconds(), 0, MAX_SECONDS) && isWithin(message.getNanos(), 0, MAX_NANOS);
    if (!isDelay) {
      throw new ProtocolException("invalid retry_delay");
    }
    return Duration.ofSeconds(message.getSeconds(), message.getNanos());
  }

  private static Instant toInstant(Timestamp message) {
    boolean isTimestamp =
        isWithin(message.getSeconds(), FIRST_SECOND, LAST_SECOND) && isWithin(message.getNanos(), 0, MAX_NANOS);
    if (!isTimestamp) {
      throw new ProtocolException("invalid time");
    }
    return Instant.ofEpochSecond(message.getSeconds(), message.getNanos());
  }

  private static Map<String, String> texts(Map<String, String> entries, String name) {
    entries.forEach(
        (key, value) -> {
          text(key, name);
          text(value, name);
        });
    return entries;
  }

  /** Rejects unpaired surrogates, which Protobuf would replace with question marks: that could be another user. */
  private static String text(String value, String name) {
    if (!StandardCharsets.UTF_8.newEncoder().canEncode(value)) {
      throw new IllegalArgumentException(name + " is not valid Unicode: it contains an unpaired surrogate");
    }
    return value;
  }

  private static boolean isWithin(long value, long least, long most) {
    return value >= least && value <= most;
  }
}
