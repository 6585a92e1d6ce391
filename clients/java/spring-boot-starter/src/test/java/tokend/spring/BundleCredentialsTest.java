package tokend.spring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.grpc.Grpc;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.TlsServerCredentials;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.time.Duration;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.springframework.boot.ssl.DefaultSslBundleRegistry;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslBundleKey;
import org.springframework.boot.ssl.SslStoreBundle;
import tokend.client.Client;
import tokend.client.LookupRequest;
import tokend.client.TokendException;

/** A server that requires a client certificate. It has no operations, since responses do not matter here. */
class BundleCredentialsTest {
  private static final String PASSWORD = "changeit";

  private static KeyStore serverKey;
  private static KeyStore clientKey;
  private static KeyStore otherKey;

  @BeforeAll
  static void makeKeys(@TempDir Path directory) throws Exception {
    serverKey = newKey(directory, "server");
    clientKey = newKey(directory, "client");
    otherKey = newKey(directory, "other");
  }

  private static KeyStore newKey(Path directory, String name) throws Exception {
    Path file = directory.resolve(name);
    Process keytool =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                "-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", // half the CPU time, as in the build
                "-genkeypair", "-alias", name, "-keyalg", "EC", "-dname", "CN=" + name,
                "-ext", "san=ip:127.0.0.1", "-storetype", "PKCS12", "-keystore", file.toString(), "-storepass", PASSWORD)
            .inheritIO()
            .start();
    assertThat(keytool.waitFor()).isZero();
    KeyStore keys = KeyStore.getInstance("PKCS12");
    try (InputStream content = Files.newInputStream(file)) {
      keys.load(content, PASSWORD.toCharArray());
    }
    return keys;
  }

  private static KeyStore trusting(KeyStore keys) throws GeneralSecurityException, IOException {
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    String alias = keys.aliases().nextElement();
    trusted.setCertificateEntry(alias, keys.getCertificate(alias));
    return trusted;
  }

  private static KeyStore both(KeyStore one, KeyStore other) throws GeneralSecurityException, IOException {
    char[] password = PASSWORD.toCharArray();
    KeyStore keys = KeyStore.getInstance("PKCS12");
    keys.load(null, null);
    for (KeyStore each : new KeyStore[] {one, other}) {
      String alias = each.aliases().nextElement();
      keys.setKeyEntry(alias, each.getKey(alias, password), password, each.getCertificateChain(alias));
    }
    return keys;
  }

  private static SslBundle bundle(@Nullable KeyStore keys, KeyStore trusted) throws Exception {
    return SslBundle.of(SslStoreBundle.of(keys, PASSWORD, trusting(trusted)));
  }

  /** Accepts only connections with the certificate of {@link #clientKey}. */
  private static Server serverOfOneClient() throws Exception {
    SslBundle ofServer = bundle(serverKey, clientKey);
    return Grpc.newServerBuilderForPort(
            0,
            TlsServerCredentials.newBuilder()
                .keyManager(ofServer.getManagers().getKeyManagers())
                .trustManager(ofServer.getManagers().getTrustManagers())
                .clientAuth(TlsServerCredentials.ClientAuth.REQUIRE)
                .build())
        .build()
        .start();
  }

  private static Status.Code outcome(Client client) {
    TokendException failure =
        catchThrowableOfType(TokendException.class, () -> client.lookupDeveloperIdentity(LookupRequest.ofIdentity("pool", "id")));
    return Objects.requireNonNull(failure).code();
  }

  @Test
  void newConnectionsUseReloadedBundle() throws Exception {
    Server server = serverOfOneClient();
    DefaultSslBundleRegistry bundles = new DefaultSslBundleRegistry("tokend", bundle(clientKey, otherKey));
    try (Client client =
        Client.builder("127.0.0.1:" + server.getPort())
            .deadline(Duration.ofSeconds(30))
            .channelCredentials(BundleCredentials.of("tokend", bundles))
            .build()) {
      assertThat(outcome(client)).isEqualTo(Status.Code.UNAVAILABLE);
      bundles.updateBundle("tokend", bundle(otherKey, serverKey));
      assertThat(outcome(client)).isEqualTo(Status.Code.UNAVAILABLE);
      bundles.updateBundle("tokend", bundle(clientKey, serverKey));
      while (outcome(client) != Status.Code.UNIMPLEMENTED) {
        Thread.onSpinWait(); // the client reconnects within a second
      }
    } finally {
      server.shutdownNow();
    }
  }

  @ParameterizedTest
  @CsvSource({"client,UNIMPLEMENTED", "other,UNAVAILABLE"})
  void keyOfBundleAliasIsUsed(String alias, Status.Code expected) throws Exception {
    KeyStore keys = both(clientKey, otherKey);
    SslBundle bundle =
        SslBundle.of(SslStoreBundle.of(keys, PASSWORD, trusting(serverKey)), SslBundleKey.of(null, alias));
    Server server = serverOfOneClient();
    try (Client client =
        Client.builder("127.0.0.1:" + server.getPort())
            .deadline(Duration.ofSeconds(30))
            .channelCredentials(BundleCredentials.of("tokend", new DefaultSslBundleRegistry("tokend", bundle)))
            .build()) {
      assertThat(outcome(client)).isEqualTo(expected);
    } finally {
      server.shutdownNow();
    }
  }

  @Test
  void bundleWithoutAuthoritiesIsRejected() throws Exception {
    KeyStore empty = KeyStore.getInstance("PKCS12");
    empty.load(null, null);
    var bundles = new DefaultSslBundleRegistry("tokend", SslBundle.of(SslStoreBundle.of(null, null, empty)));

    assertThatIllegalStateException()
        .isThrownBy(() -> BundleCredentials.of("tokend", bundles))
        .withMessageContaining("tokend.ssl.bundle");
  }
}
