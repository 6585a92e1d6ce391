package tokend.aws;

import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.awssdk.services.sts.model.AssumeRoleWithWebIdentityRequest;
import software.amazon.awssdk.services.sts.model.AssumeRoleWithWebIdentityResponse;
import software.amazon.awssdk.services.sts.model.ExpiredTokenException;
import software.amazon.awssdk.services.sts.model.IdpRejectedClaimException;
import software.amazon.awssdk.services.sts.model.InvalidIdentityTokenException;
import tokend.client.Token;
import tokend.client.TokenSource;

/**
 * An STS client for the SDK's provider that adds a token of the source to its one operation. The provider may also call
 * it in the background.
 */
final class TokenAttachingSts implements StsClient {
  private final StsClient sts;
  private final TokenSource source;

  TokenAttachingSts(StsClient sts, TokenSource source) {
    this.sts = sts;
    this.source = source;
  }

  @Override
  public AssumeRoleWithWebIdentityResponse assumeRoleWithWebIdentity(AssumeRoleWithWebIdentityRequest request) {
    Token token = source.token();
    try {
      return assume(request, token);
    } catch (InvalidIdentityTokenException | ExpiredTokenException | IdpRejectedClaimException rejected) {
      source.invalidate(token);
    }
    return assume(request, source.token());
  }

  private AssumeRoleWithWebIdentityResponse assume(AssumeRoleWithWebIdentityRequest request, Token token) {
    return sts.assumeRoleWithWebIdentity(request.toBuilder().webIdentityToken(token.value()).build());
  }

  @Override
  public String serviceName() {
    return StsClient.SERVICE_NAME;
  }

  /** Does nothing: the owner of the STS client closes it. */
  @Override
  public void close() {}
}
