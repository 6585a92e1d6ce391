package example;

import tokend.client.Client;
import tokend.client.Token;
import tokend.client.TokenRequest;

final class FirstToken {
  public static void main(String[] arguments) {
    TokenRequest request =
        TokenRequest.of("local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21", "login.example.internal", "user-4711");
    try (Client client = Client.builder("127.0.0.1:50051").plaintext().build()) {
      Token token = client.getOpenIdTokenForDeveloperIdentity(request);
      System.out.println(token.identityId() + " " + token.value());
    }
  }
}
