package tokend.client.testing;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import tokend.client.ErrorReason;
import tokend.client.FieldViolation;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.MergeDeveloperIdentitiesRequest;
import tokend.v1.UnlinkDeveloperIdentityRequest;

/** The limits of the contract's fields. A request is rejected with all its violations. */
final class FakeLimits {
  private static final Pattern ANYTHING = Pattern.compile("(?s).*");
  private static final Pattern ID = Pattern.compile("[\\w-]+:[0-9a-f-]+");
  private static final Pattern NAME = Pattern.compile("[\\w._-]+");
  private static final Pattern PAGE_TOKEN = Pattern.compile("\\S+");
  private static final int MAX_ID = 55;
  private static final int MAX_USER = 1024;
  private static final Duration MAX_DURATION = Duration.ofDays(1);

  private final List<FieldViolation> broken = new ArrayList<>();

  private FakeLimits() {}

  static void check(GetOpenIdTokenForDeveloperIdentityRequest request) {
    FakeLimits limits = new FakeLimits();
    limits.required("identity_pool_id", request.getIdentityPoolId(), MAX_ID, ID);
    limits.text("identity_id", request.getIdentityId(), MAX_ID, ID);
    limits.demand(request.getLoginsCount() > 0, "logins", "Member must not be null");
    limits.entries("logins", request.getLoginsMap(), 10, 50_000);
    limits.entries("principal_tags", request.getPrincipalTagsMap(), 50, 256);
    if (request.hasTokenDuration()) {
      Duration duration = duration(request);
      limits.demand(duration.toNanosPart() == 0, "token_duration", "Member must be a whole number of seconds");
      limits.demand(
          duration.compareTo(Duration.ofSeconds(1)) >= 0 && duration.compareTo(MAX_DURATION) <= 0,
          "token_duration",
          "Member must be from 1 to 86400 s");
    }
    limits.refuse();
  }

  static void check(LookupDeveloperIdentityRequest request) {
    FakeLimits limits = new FakeLimits();
    limits.required("identity_pool_id", request.getIdentityPoolId(), MAX_ID, ID);
    limits.text("identity_id", request.getIdentityId(), MAX_ID, ID);
    limits.text("developer_user_identifier", request.getDeveloperUserIdentifier(), MAX_USER, ANYTHING);
    int results = request.getMaxResults();
    limits.demand(results >= 0 && results <= FakeService.MAX_PAGE, "max_results", "Member must be from 1 to 60");
    limits.text("next_token", request.getNextToken(), 65_535, PAGE_TOKEN);
    limits.refuse();
  }

  static void check(MergeDeveloperIdentitiesRequest request) {
    FakeLimits limits = new FakeLimits();
    limits.required("source_user_identifier", request.getSourceUserIdentifier(), MAX_USER, ANYTHING);
    limits.required("destination_user_identifier", request.getDestinationUserIdentifier(), MAX_USER, ANYTHING);
    limits.required("developer_provider_name", request.getDeveloperProviderName(), 128, NAME);
    limits.required("identity_pool_id", request.getIdentityPoolId(), MAX_ID, ID);
    limits.refuse();
  }

  static void check(UnlinkDeveloperIdentityRequest request) {
    FakeLimits limits = new FakeLimits();
    limits.required("identity_id", request.getIdentityId(), MAX_ID, ID);
    limits.required("developer_user_identifier", request.getDeveloperUserIdentifier(), MAX_USER, ANYTHING);
    limits.required("developer_provider_name", request.getDeveloperProviderName(), 128, NAME);
    limits.required("identity_pool_id", request.getIdentityPoolId(), MAX_ID, ID);
    limits.refuse();
  }

  static Duration duration(GetOpenIdTokenForDeveloperIdentityRequest request) {
    return Duration.ofSeconds(request.getTokenDuration().getSeconds(), request.getTokenDuration().getNanos());
  }

  private void demand(boolean isKept, String field, String constraint) {
    if (!isKept) {
      broken.add(new FieldViolation(field, constraint));
    }
  }

  private void required(String field, String value, int longest, Pattern pattern) {
    demand(!value.isEmpty(), field, "Member must not be null");
    text(field, value, longest, pattern);
  }

  private void text(String field, String value, int longest, Pattern pattern) {
    if (!value.isEmpty()) {
      demand(length(value) <= longest, field, "Member must have length less than or equal to " + longest);
      demand(pattern.matcher(value).matches(), field, "Member must satisfy regular expression pattern");
    }
  }

  private void entries(String field, Map<String, String> entries, int most, int longestValue) {
    demand(entries.size() <= most, field, "Map must have length less than or equal to " + most);
    demand(
        entries.keySet().stream().allMatch(key -> isWithin(key, 128)),
        field + ".key",
        "Member must have a length from 1 to 128");
    demand(
        entries.values().stream().allMatch(value -> isWithin(value, longestValue)),
        field + ".value",
        "Member must have a length from 1 to " + longestValue);
  }

  private void refuse() {
    if (!broken.isEmpty()) {
      throw Failure.of(ErrorReason.VALIDATION_FAILED)
          .withMessage("Fields of the request break their limits.")
          .withViolations(broken)
          .toException();
    }
  }

  private static boolean isWithin(String text, int longest) {
    return !text.isEmpty() && length(text) <= longest;
  }

  private static int length(String text) {
    return text.codePointCount(0, text.length());
  }
}
