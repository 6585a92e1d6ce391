package tokend.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import java.time.Duration;
import java.util.Objects;
import tokend.client.Client;
import tokend.client.LookupRequest;
import tokend.client.LookupResult;
import tokend.client.MergeRequest;
import tokend.client.Token;
import tokend.client.TokenRequest;
import tokend.client.UnlinkRequest;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.MergeDeveloperIdentitiesRequest;
import tokend.v1.UnlinkDeveloperIdentityRequest;

/** The operations by name, with requests and responses in protobuf's JSON, through the client's public API. */
final class Operations {
  static final String GET_TOKEN = "GetOpenIdTokenForDeveloperIdentity";

  private Operations() {}

  static JsonObject call(Client client, String operation, JsonElement request)
      throws InvalidProtocolBufferException {
    return switch (operation) {
      case GET_TOKEN -> toJson(client.getOpenIdTokenForDeveloperIdentity(tokenRequest(request)));
      case "LookupDeveloperIdentity" -> toJson(client.lookupDeveloperIdentity(lookupRequest(request)));
      case "MergeDeveloperIdentities" -> {
        JsonObject response = new JsonObject();
        response.addProperty("identityId", client.mergeDeveloperIdentities(mergeRequest(request)));
        yield response;
      }
      case "UnlinkDeveloperIdentity" -> {
        client.unlinkDeveloperIdentity(unlinkRequest(request));
        yield new JsonObject();
      }
      default -> throw new AssertionError("no operation " + operation);
    };
  }

  static TokenRequest tokenRequest(JsonElement json) throws InvalidProtocolBufferException {
    var message = merged(json, GetOpenIdTokenForDeveloperIdentityRequest.newBuilder()).build();
    com.google.protobuf.Duration given = message.getTokenDuration();
    return new TokenRequest(
        message.getIdentityPoolId(),
        message.getIdentityId(),
        message.getLoginsMap(),
        message.getPrincipalTagsMap(),
        message.hasTokenDuration() ? Duration.ofSeconds(given.getSeconds(), given.getNanos()) : null);
  }

  private static LookupRequest lookupRequest(JsonElement json) throws InvalidProtocolBufferException {
    var message = merged(json, LookupDeveloperIdentityRequest.newBuilder()).build();
    return new LookupRequest(
        message.getIdentityPoolId(),
        message.getIdentityId(),
        message.getDeveloperUserIdentifier(),
        message.getMaxResults(),
        message.getNextToken());
  }

  private static MergeRequest mergeRequest(JsonElement json) throws InvalidProtocolBufferException {
    var message = merged(json, MergeDeveloperIdentitiesRequest.newBuilder()).build();
    return new MergeRequest(
        message.getSourceUserIdentifier(),
        message.getDestinationUserIdentifier(),
        message.getDeveloperProviderName(),
        message.getIdentityPoolId());
  }

  private static UnlinkRequest unlinkRequest(JsonElement json) throws InvalidProtocolBufferException {
    var message = merged(json, UnlinkDeveloperIdentityRequest.newBuilder()).build();
    return new UnlinkRequest(
        message.getIdentityId(),
        message.getIdentityPoolId(),
        message.getDeveloperProviderName(),
        message.getDeveloperUserIdentifier());
  }

  private static <B extends Message.Builder> B merged(JsonElement json, B builder)
      throws InvalidProtocolBufferException {
    JsonFormat.parser().merge(json.toString(), builder);
    return builder;
  }

  private static JsonObject toJson(Token token) {
    JsonObject response = new JsonObject();
    response.addProperty("identityId", token.identityId());
    response.addProperty("token", token.value());
    response.addProperty("issueTime", Objects.toString(token.issueTime(), ""));
    response.addProperty("expireTime", token.expireTime().toString());
    response.addProperty("refreshTime", token.refreshTime().toString());
    return response;
  }

  private static JsonObject toJson(LookupResult result) {
    JsonArray users = new JsonArray();
    result.developerUserIdentifiers().forEach(users::add);
    JsonObject response = new JsonObject();
    response.addProperty("identityId", result.identityId());
    response.add("developerUserIdentifierList", users);
    response.addProperty("nextToken", result.nextToken());
    return response;
  }
}
