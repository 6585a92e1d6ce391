package example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.TokenRequest;
import tokend.client.TokendException;
import tokend.client.testing.Failure;
import tokend.client.testing.FakeTokendServer;

class OrdersTest {
  private static final TokenRequest ALICE =
      TokenRequest.of(FakeTokendServer.IDENTITY_POOL_ID, FakeTokendServer.DEVELOPER_PROVIDER_NAME, "alice");

  @Test
  void userKeepsIdentity() {
    try (FakeTokendServer server = FakeTokendServer.start()) {
      Client client = server.client();
      String identityId = client.getOpenIdTokenForDeveloperIdentity(ALICE).identityId();

      assertEquals(identityId, client.getOpenIdTokenForDeveloperIdentity(ALICE).identityId());
    }
  }

  @Test
  void rejectionIsShown() {
    try (FakeTokendServer server = FakeTokendServer.start()) {
      server.failNext(Failure.of(ErrorReason.NOT_AUTHORIZED));

      assertThrows(TokendException.class, () -> server.client().getOpenIdTokenForDeveloperIdentity(ALICE));
    }
  }
}
