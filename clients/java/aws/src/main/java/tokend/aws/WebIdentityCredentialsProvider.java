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
 * The credentials of a role, which it assumes with the tokens of a source ({@code AssumeRoleWithWebIdentity}). A provider is
 * for one user: make one for each source. Safe to use by many threads at once.
 *
 * <p>The SDK's {@link StsAssumeRoleWithWebIdentityCredentialsProvider} keeps the credentials and renews them before they
 * expire, each time with a token that is valid then. A token that STS rejects ({@code InvalidIdentityToken}, {@code
 * ExpiredTokenException}, {@code IDPRejectedClaim}) is dropped, and STS is asked once more with a new one. Where there is no
 * token, the failure is the source's {@link tokend.client.TokendException}.
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
   * Starts a provider.
   *
   * @param source where tokens come from
   * @param roleArn the role to assume
   * @param roleSessionName how CloudTrail shows who uses the role
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

  /** Ends what renews credentials, and the client of STS unless it was given. The source stays open. */
  @Override
  public void close() {
    credentials.close();
    if (own != null) {
      own.close();
    }
  }

  /** The call is not signed: the token says who asks. */
  private static StsClient anonymous() {
    return StsClient.builder().credentialsProvider(AnonymousCredentialsProvider.create()).build();
  }

  /** Gathers what a provider needs. */
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
     * Sets how long credentials live.
     *
     * @param value whole seconds, from 15 minutes up to what the role allows; by default STS decides, which says one hour
     * @return this
     * @throws IllegalArgumentException when it is less, or not whole
     */
    public Builder duration(Duration value) {
      if (value.compareTo(Duration.ofMinutes(15)) < 0 || value.toNanosPart() != 0) {
        throw new IllegalArgumentException("duration must be whole seconds from 900: " + value);
      }
      request.durationSeconds(Math.toIntExact(value.toSeconds()));
      return this;
    }

    /**
     * Sets the client of STS, such as one for another region. It needs no credentials: {@link AnonymousCredentialsProvider}.
     *
     * @param value the client, which is not closed with the provider; by default one with the SDK's own settings
     * @return this
     */
    public Builder stsClient(StsClient value) {
      sts = Objects.requireNonNull(value, "value");
      return this;
    }

    /**
     * Sets how the SDK's provider keeps credentials, such as {@code asyncCredentialUpdateEnabled} and {@code prefetchTime}.
     *
     * @param value changes the SDK's builder
     * @return this
     */
    public Builder keeping(Consumer<StsAssumeRoleWithWebIdentityCredentialsProvider.Builder> value) {
      settings = Objects.requireNonNull(value, "value");
      return this;
    }

    /**
     * Builds the provider. STS is asked when credentials are first needed.
     *
     * @return the provider, to be closed
     */
    public WebIdentityCredentialsProvider build() {
      return new WebIdentityCredentialsProvider(this);
    }
  }
}
