package example;

import io.grpc.TlsChannelCredentials;
import io.grpc.util.AdvancedTlsX509KeyManager;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import tokend.client.Client;

final class Identified {
  static Client byCertificate(
      String target, File caFile, File certificateFile, File keyFile, ScheduledExecutorService scheduler)
      throws IOException, GeneralSecurityException {
    AdvancedTlsX509KeyManager identity = new AdvancedTlsX509KeyManager();
    identity.updateIdentityCredentials(certificateFile, keyFile, 1, TimeUnit.MINUTES, scheduler);
    return Client.builder(target)
        .channelCredentials(TlsChannelCredentials.newBuilder().trustManager(caFile).keyManager(identity).build())
        .build();
  }

  static Client byToken(String target, File caFile, Path tokenFile) throws IOException {
    return Client.builder(target)
        .channelCredentials(TlsChannelCredentials.newBuilder().trustManager(caFile).build())
        .bearerTokenFile(tokenFile)
        .build();
  }

  private Identified() {}
}
