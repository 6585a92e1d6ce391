package example;

import io.grpc.Status;
import java.time.Duration;
import tokend.client.Client;
import tokend.client.ErrorReason;
import tokend.client.TokenRequest;
import tokend.client.TokendException;

final class Errors {
  static String outcome(Client client, TokenRequest request) {
    try {
      return client.withDeadline(Duration.ofSeconds(1)).getOpenIdTokenForDeveloperIdentity(request).identityId();
    } catch (TokendException e) {
      if (e.reason().filter(ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED::equals).isPresent()) {
        return "the user has another identity";
      }
      if (e.code() == Status.Code.RESOURCE_EXHAUSTED) {
        return "later: " + e.retryDelay().orElse(Duration.ofSeconds(1));
      }
      throw e; // its message contains no secret: log it
    }
  }

  private Errors() {}
}
