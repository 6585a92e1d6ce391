package example;

import io.grpc.TlsChannelCredentials;
import io.grpc.util.AdvancedTlsX509KeyManager;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import tokend.client.TokendClient;

final class Identified {
  static TokendClient byCertificate(
      String target, File caFile, File certificateFile, File keyFile, ScheduledExecutorService scheduler)
      throws IOException, GeneralSecurityException {
    AdvancedTlsX509KeyManager identity = new AdvancedTlsX509KeyManager();
    identity.updateIdentityCredentials(certificateFile, keyFile, 1, TimeUnit.MINUTES, scheduler);
    return TokendClient.builder(target)
        .channelCredentials(TlsChannelCredentials.newBuilder().trustManager(caFile).keyManager(identity).build())
        .build();
  }

  static TokendClient byToken(String target, File caFile, Path tokenFile) throws IOException {
    return TokendClient.builder(target)
        .channelCredentials(TlsChannelCredentials.newBuilder().trustManager(caFile).build())
        .bearerTokenFile(tokenFile)
        .build();
  }

  private Identified() {}
}
