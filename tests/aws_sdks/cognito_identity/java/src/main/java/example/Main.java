package example;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import software.amazon.awssdk.auth.credentials.AwsSessionCredentials;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.services.cognitoidentity.CognitoIdentityClient;
import software.amazon.awssdk.services.cognitoidentity.model.CognitoIdentityException;
import software.amazon.awssdk.services.cognitoidentity.model.DeveloperUserAlreadyRegisteredException;
import software.amazon.awssdk.services.cognitoidentity.model.GetOpenIdTokenForDeveloperIdentityRequest;
import software.amazon.awssdk.services.cognitoidentity.model.GetOpenIdTokenForDeveloperIdentityResponse;
import software.amazon.awssdk.services.cognitoidentity.model.IdentityDescription;
import software.amazon.awssdk.services.cognitoidentity.model.NotAuthorizedException;
import software.amazon.awssdk.services.cognitoidentity.model.ResourceNotFoundException;

/**
 * Registers, looks up, merges and unlinks users of a pool, gets them AWS credentials, lists and deletes identities, and
 * prints what it saw as JSON; with the word "credentials", which of its own the SDK has found.
 */
public final class Main {

    private static final String POOL = System.getenv("COGNITO_IDENTITY_POOL_ID");
    private static final String PROVIDER = System.getenv("COGNITO_IDENTITY_DEVELOPER_PROVIDER_NAME");

    public static void main(String[] arguments) {
        Map<String, String> seen = new LinkedHashMap<>();
        if (arguments.length > 0) {
            try (DefaultCredentialsProvider provider = DefaultCredentialsProvider.builder().build()) {
                AwsSessionCredentials own = (AwsSessionCredentials) provider.resolveCredentials();
                seen.put("key", own.accessKeyId());
                seen.put("session", own.sessionToken());
            }
            System.out.println(json(seen));
            return;
        }
        try (CognitoIdentityClient cognito = CognitoIdentityClient.create()) {
            GetOpenIdTokenForDeveloperIdentityResponse alice = register(cognito, POOL, "java-alice", null);
            String bob = register(cognito, POOL, "java-bob", null).identityId();
            String carol = register(cognito, POOL, "java-carol", null).identityId();
            seen.put("alice", alice.identityId());
            seen.put("bob", bob);
            seen.put("token", alice.token());
            Map<String, String> logins = Map.of("cognito-identity.amazonaws.com", alice.token());
            seen.put(
                    "key",
                    cognito.getCredentialsForIdentity(
                                    r -> r.identityId(alice.identityId()).logins(logins))
                            .credentials()
                            .accessKeyId());
            try {
                cognito.getCredentialsForIdentity(r -> r.identityId(alice.identityId()));
            } catch (NotAuthorizedException e) {
                seen.put("forbidden", e.awsErrorDetails().errorMessage());
            }
            seen.put(
                    "found",
                    cognito.lookupDeveloperIdentity(r -> r.identityPoolId(POOL).developerUserIdentifier("java-alice"))
                            .identityId());
            seen.put(
                    "merged",
                    cognito.mergeDeveloperIdentities(r -> r.identityPoolId(POOL)
                                    .developerProviderName(PROVIDER)
                                    .sourceUserIdentifier("java-alice")
                                    .destinationUserIdentifier("java-bob"))
                            .identityId());
            seen.put(
                    "users",
                    cognito
                            .lookupDeveloperIdentity(r -> r.identityPoolId(POOL).identityId(bob))
                            .developerUserIdentifierList()
                            .stream()
                            .sorted()
                            .collect(Collectors.joining(" ")));
            try {
                register(cognito, POOL, "java-carol", bob);
            } catch (DeveloperUserAlreadyRegisteredException e) {
                seen.put("registered", e.awsErrorDetails().errorMessage());
            }
            cognito.unlinkDeveloperIdentity(r -> r.identityPoolId(POOL)
                    .identityId(bob)
                    .developerProviderName(PROVIDER)
                    .developerUserIdentifier("java-alice"));
            try {
                cognito.lookupDeveloperIdentity(r -> r.identityPoolId(POOL).developerUserIdentifier("java-alice"));
            } catch (ResourceNotFoundException e) {
                seen.put("unlinked", e.awsErrorDetails().errorMessage());
            }
            try {
                register(cognito, "zz", "java-alice", null);
            } catch (CognitoIdentityException e) {
                seen.put("invalid", e.awsErrorDetails().errorCode() + ": " + e.awsErrorDetails().errorMessage());
            }
            List<String> listed = cognito.listIdentities(r -> r.identityPoolId(POOL).maxResults(60)).identities().stream()
                    .map(IdentityDescription::identityId)
                    .toList();
            seen.put("listed", String.valueOf(listed.containsAll(List.of(bob, carol))));
            seen.put(
                    "described",
                    String.join(" ", cognito.describeIdentity(r -> r.identityId(carol)).logins()));
            int unprocessed = cognito.deleteIdentities(r -> r.identityIdsToDelete(carol))
                    .unprocessedIdentityIds()
                    .size();
            seen.put("unprocessed", String.valueOf(unprocessed));
            try {
                cognito.describeIdentity(r -> r.identityId(carol));
            } catch (ResourceNotFoundException e) {
                seen.put("deleted", e.awsErrorDetails().errorMessage());
            }
        }
        System.out.println(json(seen));
    }

    private static GetOpenIdTokenForDeveloperIdentityResponse register(
            CognitoIdentityClient cognito, String pool, String user, String identityId) {
        return cognito.getOpenIdTokenForDeveloperIdentity(GetOpenIdTokenForDeveloperIdentityRequest.builder()
                .identityPoolId(pool)
                .identityId(identityId)
                .logins(Map.of(PROVIDER, user))
                .build());
    }

    private static String json(Map<String, String> members) {
        List<String> lines = members.entrySet().stream()
                .map(e -> "\"" + e.getKey() + "\": \"" + e.getValue().replace("\\", "\\\\") + "\"")
                .toList();
        return "{" + String.join(", ", lines) + "}";
    }

    private Main() {}
}
