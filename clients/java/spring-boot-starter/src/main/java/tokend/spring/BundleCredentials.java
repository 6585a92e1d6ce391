package tokend.spring;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import io.grpc.util.AdvancedTlsX509KeyManager;
import io.grpc.util.AdvancedTlsX509TrustManager;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import javax.net.ssl.KeyManager;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509TrustManager;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslBundles;

/**
 * TLS with the authorities and the certificate of an SSL bundle. After a reload, new connections use the new bundle.
 */
final class BundleCredentials {
  private static final String[] KEY_TYPES = {"EC", "RSA", "EdDSA"};
  private static final System.Logger LOGGER = System.getLogger("tokend.spring");

  private final String name;
  private final AdvancedTlsX509TrustManager trust;
  private final AdvancedTlsX509KeyManager identity = new AdvancedTlsX509KeyManager();

  private record Identity(List<X509Certificate> chain, PrivateKey key) {}

  private BundleCredentials(String name) throws GeneralSecurityException {
    this.name = name;
    trust = AdvancedTlsX509TrustManager.newBuilder().build();
  }

  static ChannelCredentials of(String name, SslBundles bundles) {
    try {
      SslBundle bundle = bundles.getBundle(name);
      BundleCredentials credentials = new BundleCredentials(name);
      boolean hasIdentity = credentials.load(bundle);
      bundles.addBundleUpdateHandler(name, credentials::reload);
      TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder().trustManager(credentials.trust);
      return hasIdentity ? builder.keyManager(credentials.identity).build() : builder.build();
    } catch (GeneralSecurityException | IOException | RuntimeException e) {
      throw new IllegalStateException("the SSL bundle '" + name + "' of tokend.ssl.bundle cannot be used", e);
    }
  }

  /** Keeps the previous credentials if the new bundle cannot be used. */
  private void reload(SslBundle bundle) {
    try {
      load(bundle);
    } catch (GeneralSecurityException | IOException | RuntimeException e) {
      LOGGER.log(System.Logger.Level.ERROR, "the reloaded SSL bundle '" + name + "' cannot be used", e);
    }
  }

  private boolean load(SslBundle bundle) throws GeneralSecurityException, IOException {
    X509Certificate[] authorities = authorities(bundle);
    Identity next = identity(bundle);
    trust.updateTrustCredentials(authorities);
    if (next != null) {
      identity.updateIdentityCredentials(next.chain.toArray(X509Certificate[]::new), next.key);
    }
    return next != null;
  }

  private static X509Certificate[] authorities(SslBundle bundle) throws GeneralSecurityException {
    for (TrustManager manager : bundle.getManagers().getTrustManagers()) {
      if (manager instanceof X509TrustManager certificates && certificates.getAcceptedIssuers().length > 0) {
        return certificates.getAcceptedIssuers();
      }
    }
    throw new GeneralSecurityException("its truststore contains no authority");
  }

  private static @Nullable Identity identity(SslBundle bundle) throws GeneralSecurityException {
    String alias = bundle.getKey().getAlias();
    return alias == null || bundle.getStores().getKeyStore() == null
        ? firstIdentity(bundle)
        : namedIdentity(bundle, alias);
  }

  /**
   * Reads the key from the store: a bundle's key managers apply the alias to servers only, and have their own names for
   * keys.
   */
  private static Identity namedIdentity(SslBundle bundle, String alias) throws GeneralSecurityException {
    KeyStore keys = Objects.requireNonNull(bundle.getStores().getKeyStore());
    String ofKey = bundle.getKey().getPassword();
    String password = ofKey == null ? bundle.getStores().getKeyStorePassword() : ofKey;
    Certificate[] chain = keys.getCertificateChain(alias);
    if (chain != null
        && keys.getKey(alias, password == null ? null : password.toCharArray()) instanceof PrivateKey key) {
      return new Identity(Arrays.stream(chain).map(X509Certificate.class::cast).toList(), key);
    }
    throw new GeneralSecurityException("it has no key with the alias '" + alias + "'");
  }

  private static @Nullable Identity firstIdentity(SslBundle bundle) {
    for (KeyManager manager : bundle.getManagers().getKeyManagers()) {
      if (manager instanceof X509ExtendedKeyManager keys) {
        String alias = keys.chooseEngineClientAlias(KEY_TYPES, null, null);
        X509Certificate[] chain = alias == null ? null : keys.getCertificateChain(alias);
        PrivateKey key = alias == null ? null : keys.getPrivateKey(alias);
        if (chain != null && key != null) {
          return new Identity(List.of(chain), key);
        }
      }
    }
    return null;
  }
}
