package tokend.aws;

import java.time.Duration;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import software.amazon.awssdk.auth.credentials.AnonymousCredentialsProvider;
import software.amazon.awssdk.auth.credentials.AwsCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.awssdk.services.sts.auth.StsAssumeRoleWithWebIdentityCredentialsProvider;
import software.amazon.awssdk.services.sts.model.AssumeRoleWithWebIdentityRequest;
import software.amazon.awssdk.utils.SdkAutoCloseable;
import tokend.client.TokenSource;

/**
 * An AWS credentials provider that assumes a role with the tokens of a source ({@code AssumeRoleWithWebIdentity}). A
 * provider is for one user: create one per source. Thread-safe.
 *
 * <p>The SDK's {@link StsAssumeRoleWithWebIdentityCredentialsProvider} caches the credentials and renews them before
 * they expire, each time with a valid token. If STS rejects a token ({@code InvalidIdentityToken}, {@code
 * ExpiredTokenException}, {@code IDPRejectedClaim}), the token is dropped and the request is retried once with a new
 * one. Without a token, the failure is the source's {@link tokend.client.TokendException}.
 */
public final class WebIdentityCredentialsProvider implements AwsCredentialsProvider, SdkAutoCloseable {
  private final StsAssumeRoleWithWebIdentityCredentialsProvider credentials;
  private final @Nullable StsClient own;

  private WebIdentityCredentialsProvider(Builder builder) {
    AssumeRoleWithWebIdentityRequest request = builder.request.build();
    StsClient sts = builder.sts;
    own = sts == null ? anonymous() : null;
    StsClient asked = sts == null ? Objects.requireNonNull(own) : sts;
    StsAssumeRoleWithWebIdentityCredentialsProvider.Builder provider =
        StsAssumeRoleWithWebIdentityCredentialsProvider.builder()
            .stsClient(new TokenAttachingSts(asked, builder.source))
            .refreshRequest(request);
    builder.settings.accept(provider);
    credentials = provider.build();
  }

  /**
   * Returns a builder of a provider.
   *
   * @param source the source of the tokens
   * @param roleArn the role to assume
   * @param roleSessionName identifies the session in CloudTrail
   * @return a builder
   */
  public static Builder builder(TokenSource source, String roleArn, String roleSessionName) {
    return new Builder(
        Objects.requireNonNull(source, "source"),
        AssumeRoleWithWebIdentityRequest.builder()
            .roleArn(Objects.requireNonNull(roleArn, "roleArn"))
            .roleSessionName(Objects.requireNonNull(roleSessionName, "roleSessionName")));
  }

  @Override
  public AwsCredentials resolveCredentials() {
    return credentials.resolveCredentials();
  }

  /**
   * Stops the renewal of credentials, and closes the STS client unless it was set in the builder. The source stays
   * open.
   */
  @Override
  public void close() {
    credentials.close();
    if (own != null) {
      own.close();
    }
  }

  /** The request is not signed: the token authenticates it. */
  private static StsClient anonymous() {
    return StsClient.builder().credentialsProvider(AnonymousCredentialsProvider.create()).build();
  }

  /** Builds a provider. */
  public static final class Builder {
    private final TokenSource source;
    private final AssumeRoleWithWebIdentityRequest.Builder request;
    private Consumer<StsAssumeRoleWithWebIdentityCredentialsProvider.Builder> settings = provider -> {};
    private @Nullable StsClient sts;

    private Builder(TokenSource source, AssumeRoleWithWebIdentityRequest.Builder request) {
      this.source = source;
      this.request = request;
    }

    /**
     * Sets the lifetime of the credentials.
     *
     * @param value whole seconds, from 15 minutes to the role's maximum; by default STS decides: one hour
     * @return this
     * @throws IllegalArgumentException if it is less than 15 minutes or not in whole seconds
     */
    public Builder duration(Duration value) {
      if (value.compareTo(Duration.ofMinutes(15)) < 0 || value.toNanosPart() != 0) {
        throw new IllegalArgumentException("duration must be whole seconds, 900 or more: " + value);
      }
      request.durationSeconds(Math.toIntExact(value.toSeconds()));
      return this;
    }

    /**
     * Sets the STS client, for example for another region. It needs no credentials: use {@link
     * AnonymousCredentialsProvider}.
     *
     * @param value the client, which the provider does not close; by default one with the SDK's default settings
     * @return this
     */
    public Builder stsClient(StsClient value) {
      sts = Objects.requireNonNull(value, "value");
      return this;
    }

    /**
     * Configures how the SDK's provider caches credentials, such as {@code asyncCredentialUpdateEnabled} and {@code
     * prefetchTime}.
     *
     * @param value changes the SDK's builder
     * @return this
     */
    public Builder keeping(Consumer<StsAssumeRoleWithWebIdentityCredentialsProvider.Builder> value) {
      settings = Objects.requireNonNull(value, "value");
      return this;
    }

    /**
     * Builds the provider. It calls STS when credentials are first requested.
     *
     * @return the provider, to be closed
     */
    public WebIdentityCredentialsProvider build() {
      return new WebIdentityCredentialsProvider(this);
    }
  }
}
