package example;

import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.awssdk.services.sts.auth.StsAssumeRoleWithWebIdentityCredentialsProvider;
import software.amazon.awssdk.services.sts.model.AssumeRoleWithWebIdentityRequest;
import tokend.client.TokenSource;

final class Aws {
  static StsAssumeRoleWithWebIdentityCredentialsProvider credentials(StsClient sts, TokenSource source) {
    return StsAssumeRoleWithWebIdentityCredentialsProvider.builder()
        .stsClient(sts)
        .refreshRequest(
            () ->
                AssumeRoleWithWebIdentityRequest.builder()
                    .roleArn("arn:aws:iam::123456789012:role/billing")
                    .roleSessionName("billing")
                    .webIdentityToken(source.token().value())
                    .build())
        .build();
  }

  private Aws() {}
}
