package example;

import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import tokend.aws.WebIdentityCredentialsProvider;
import tokend.client.TokenSource;

final class Aws {
  static AwsCredentialsProvider credentials(TokenSource source) {
    return WebIdentityCredentialsProvider.builder(source, "arn:aws:iam::123456789012:role/billing", "service-a").build();
  }

  private Aws() {}
}
