package example;

import tokend.client.TokenRequest;
import tokend.client.TokenSnapshot;
import tokend.client.TokendClient;

final class FirstToken {
  public static void main(String[] arguments) {
    TokenRequest request =
        TokenRequest.of("local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21", "login.example.internal", "user-4711");
    try (TokendClient client = TokendClient.builder("127.0.0.1:50051").plaintext().build()) {
      TokenSnapshot snapshot = client.getOpenIdTokenForDeveloperIdentity(request);
      System.out.println(snapshot.identityId() + " " + snapshot.token());
    }
  }

  private FirstToken() {}
}
