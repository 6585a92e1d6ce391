package tokend.client.testing;

import com.google.protobuf.Timestamp;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.temporal.ChronoUnit;
import java.util.Base64;
import java.util.List;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import tokend.client.ErrorReason;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;
import tokend.v1.MergeDeveloperIdentitiesRequest;
import tokend.v1.MergeDeveloperIdentitiesResponse;
import tokend.v1.UnlinkDeveloperIdentityRequest;
import tokend.v1.UnlinkDeveloperIdentityResponse;

/** The four operations on one pool, with the checks that tests of callers need. */
final class FakeService extends DeveloperIdentityServiceGrpc.DeveloperIdentityServiceImplBase {
  static final int MAX_PAGE = 60;

  private static final Duration DEFAULT_DURATION = Duration.ofMinutes(15);
  private static final Pattern PUBLIC_PROVIDER =
      Pattern.compile(
          "accounts\\.google\\.com|appleid\\.apple\\.com|cognito-identity\\.amazonaws\\.com"
              + "|cognito-idp\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/.+");

  private final FakePool pool = new FakePool();
  private final FakeIssuer issuer;
  private final InstantSource clock;

  FakeService(FakeIssuer issuer, InstantSource clock) {
    this.issuer = issuer;
    this.clock = clock;
  }

  @Override
  public void getOpenIdTokenForDeveloperIdentity(
      GetOpenIdTokenForDeveloperIdentityRequest request,
      StreamObserver<GetOpenIdTokenForDeveloperIdentityResponse> observer) {
    answer(observer, () -> issue(request));
  }

  @Override
  public void lookupDeveloperIdentity(
      LookupDeveloperIdentityRequest request, StreamObserver<LookupDeveloperIdentityResponse> observer) {
    answer(observer, () -> lookUp(request));
  }

  @Override
  public void mergeDeveloperIdentities(
      MergeDeveloperIdentitiesRequest request, StreamObserver<MergeDeveloperIdentitiesResponse> observer) {
    answer(
        observer,
        () -> {
          FakeLimits.check(request);
          checkPool(request.getIdentityPoolId());
          checkProvider(request.getDeveloperProviderName());
          String id = pool.merge(request.getSourceUserIdentifier(), request.getDestinationUserIdentifier());
          return MergeDeveloperIdentitiesResponse.newBuilder().setIdentityId(id).build();
        });
  }

  @Override
  public void unlinkDeveloperIdentity(
      UnlinkDeveloperIdentityRequest request, StreamObserver<UnlinkDeveloperIdentityResponse> observer) {
    answer(
        observer,
        () -> {
          FakeLimits.check(request);
          checkPool(request.getIdentityPoolId());
          checkProvider(request.getDeveloperProviderName());
          pool.unlink(request.getIdentityId(), request.getDeveloperUserIdentifier());
          return UnlinkDeveloperIdentityResponse.getDefaultInstance();
        });
  }

  private static <R> void answer(StreamObserver<R> observer, Supplier<R> operation) {
    R response;
    try {
      response = operation.get();
    } catch (StatusRuntimeException refusal) {
      observer.onError(refusal);
      return;
    }
    observer.onNext(response);
    observer.onCompleted();
  }

  private GetOpenIdTokenForDeveloperIdentityResponse issue(GetOpenIdTokenForDeveloperIdentityRequest request) {
    FakeLimits.check(request);
    Duration duration = request.hasTokenDuration() ? FakeLimits.duration(request) : DEFAULT_DURATION;
    checkPool(request.getIdentityPoolId());
    String user = developerUser(request);
    String id = pool.getOrCreate(user, request.getIdentityId());
    Instant answered = clock.instant();
    Instant now = answered.truncatedTo(ChronoUnit.SECONDS);
    Instant expireTime = now.plus(duration);
    return GetOpenIdTokenForDeveloperIdentityResponse.newBuilder()
        .setIdentityId(id)
        .setToken(issuer.token(id, user, request.getPrincipalTagsMap(), now, expireTime))
        .setIssueTime(timestamp(answered))
        .setExpireTime(timestamp(expireTime))
        .setRefreshTime(timestamp(now.plusSeconds(duration.toSeconds() / 3)))
        .build();
  }

  private LookupDeveloperIdentityResponse lookUp(LookupDeveloperIdentityRequest request) {
    FakeLimits.check(request);
    checkPool(request.getIdentityPoolId());
    String user = request.getDeveloperUserIdentifier();
    if (request.getIdentityId().isEmpty() && user.isEmpty()) {
      throw FakePool.refusal(
          ErrorReason.INVALID_PARAMETER, "Either IdentityId or DeveloperUserIdentifier must be given.");
    }
    String id = pool.find(request.getIdentityId(), user);
    LookupDeveloperIdentityResponse.Builder response = LookupDeveloperIdentityResponse.newBuilder().setIdentityId(id);
    if (!request.getIdentityId().isEmpty() && !user.isEmpty()) {
      return response.addDeveloperUserIdentifierList(user).build();
    }
    List<String> users = pool.usersOf(id, lastOf(request.getNextToken(), id));
    int size = request.getMaxResults() == 0 ? MAX_PAGE : request.getMaxResults();
    if (users.size() <= size) {
      return response.addAllDeveloperUserIdentifierList(users).build();
    }
    return response
        .addAllDeveloperUserIdentifierList(users.subList(0, size))
        .setNextToken(pageToken(id, users.get(size - 1)))
        .build();
  }

  /**
   * Returns a token with the last user of the page, so that users who are added or removed between two pages do no
   * harm.
   */
  private static String pageToken(String id, String last) {
    byte[] named = (id + "\n" + last).getBytes(StandardCharsets.UTF_8);
    return Base64.getUrlEncoder().withoutPadding().encodeToString(named);
  }

  private static String lastOf(String pageToken, String id) {
    if (pageToken.isEmpty()) {
      return "";
    }
    String named;
    try {
      named = new String(Base64.getUrlDecoder().decode(pageToken), StandardCharsets.UTF_8);
    } catch (IllegalArgumentException e) {
      named = "";
    }
    if (!named.startsWith(id + "\n")) {
      throw FakePool.refusal(
          ErrorReason.INVALID_PARAMETER, "NextToken is not one that this operation returned.");
    }
    return named.substring(id.length() + 1);
  }

  private static String developerUser(GetOpenIdTokenForDeveloperIdentityRequest request) {
    String user = request.getLoginsOrDefault(FakeTokendServer.DEVELOPER_PROVIDER_NAME, "");
    if (user.isEmpty()) {
      throw FakePool.refusal(
          ErrorReason.INVALID_PARAMETER, "Logins must contain the developer provider of this identity pool.");
    }
    if (!request.getLoginsMap().keySet().stream().allMatch(FakeService::isKnown)) {
      throw unsupportedProvider();
    }
    if (request.getLoginsCount() > 1) {
      throw FakePool.refusal(
          ErrorReason.NOT_AUTHORIZED, "Token is not from a supported provider of this identity pool.");
    }
    return user;
  }

  /** Reports whether tokend supports a provider. Any other name counts as that of a developer provider. */
  private static boolean isKnown(String provider) {
    return provider.equals(FakeTokendServer.DEVELOPER_PROVIDER_NAME) || PUBLIC_PROVIDER.matcher(provider).matches();
  }

  private static void checkPool(String identityPoolId) {
    if (!identityPoolId.equals(FakeTokendServer.IDENTITY_POOL_ID)) {
      throw FakePool.notFound("IdentityPool", identityPoolId);
    }
  }

  private static void checkProvider(String developerProviderName) {
    if (!developerProviderName.equals(FakeTokendServer.DEVELOPER_PROVIDER_NAME)) {
      throw unsupportedProvider();
    }
  }

  private static StatusRuntimeException unsupportedProvider() {
    return FakePool.refusal(
        ErrorReason.INVALID_PARAMETER, "This identity pool does not support the specified developer provider");
  }

  private static Timestamp timestamp(Instant instant) {
    return Timestamp.newBuilder().setSeconds(instant.getEpochSecond()).setNanos(instant.getNano()).build();
  }
}
