/**
 * AWS credentials in exchange for tokend's tokens.
 *
 * <p>{@link tokend.aws.WebIdentityCredentialsProvider} is a credentials provider for the AWS SDK for Java 2.
 */
@NullMarked
package tokend.aws;

import org.jspecify.annotations.NullMarked;
