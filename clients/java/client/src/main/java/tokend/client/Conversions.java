package tokend.client;

import com.google.protobuf.Timestamp;
import java.time.Duration;
import java.time.Instant;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;
import tokend.v1.MergeDeveloperIdentitiesRequest;
import tokend.v1.UnlinkDeveloperIdentityRequest;

/** Between the records of this package and the messages of the contract. */
final class Conversions {
  private Conversions() {}

  static GetOpenIdTokenForDeveloperIdentityRequest toMessage(TokenRequest request) {
    GetOpenIdTokenForDeveloperIdentityRequest.Builder message =
        GetOpenIdTokenForDeveloperIdentityRequest.newBuilder()
            .setIdentityPoolId(request.identityPoolId())
            .setIdentityId(request.identityId())
            .putAllLogins(request.logins())
            .putAllPrincipalTags(request.principalTags());
    Duration tokenDuration = request.tokenDuration();
    if (tokenDuration != null) {
      message.getTokenDurationBuilder().setSeconds(tokenDuration.getSeconds()).setNanos(tokenDuration.getNano());
    }
    return message.build();
  }

  static TokenSnapshot toSnapshot(GetOpenIdTokenForDeveloperIdentityResponse message) {
    return new TokenSnapshot(
        message.getIdentityId(),
        message.getToken(),
        toInstant(message.getExpireTime()),
        toInstant(message.getRefreshTime()));
  }

  static LookupDeveloperIdentityRequest toMessage(LookupRequest request) {
    return LookupDeveloperIdentityRequest.newBuilder()
        .setIdentityPoolId(request.identityPoolId())
        .setIdentityId(request.identityId())
        .setDeveloperUserIdentifier(request.developerUserIdentifier())
        .setMaxResults(request.maxResults())
        .setNextToken(request.nextToken())
        .build();
  }

  static LookupResult toResult(LookupDeveloperIdentityResponse message) {
    return new LookupResult(
        message.getIdentityId(), message.getDeveloperUserIdentifierListList(), message.getNextToken());
  }

  static MergeDeveloperIdentitiesRequest toMessage(MergeRequest request) {
    return MergeDeveloperIdentitiesRequest.newBuilder()
        .setSourceUserIdentifier(request.sourceUserIdentifier())
        .setDestinationUserIdentifier(request.destinationUserIdentifier())
        .setDeveloperProviderName(request.developerProviderName())
        .setIdentityPoolId(request.identityPoolId())
        .build();
  }

  static UnlinkDeveloperIdentityRequest toMessage(UnlinkRequest request) {
    return UnlinkDeveloperIdentityRequest.newBuilder()
        .setIdentityId(request.identityId())
        .setIdentityPoolId(request.identityPoolId())
        .setDeveloperProviderName(request.developerProviderName())
        .setDeveloperUserIdentifier(request.developerUserIdentifier())
        .build();
  }

  static Duration toDuration(com.google.protobuf.Duration message) {
    return Duration.ofSeconds(message.getSeconds(), message.getNanos());
  }

  private static Instant toInstant(Timestamp message) {
    return Instant.ofEpochSecond(message.getSeconds(), message.getNanos());
  }
}
