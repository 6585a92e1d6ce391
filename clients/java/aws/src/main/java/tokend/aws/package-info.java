/**
 * Credentials of AWS for the tokens of tokend.
 *
 * <p>{@link tokend.aws.WebIdentityCredentialsProvider} is one of the credentials providers of the AWS SDK for Java 2.
 */
@NullMarked
package tokend.aws;

import org.jspecify.annotations.NullMarked;
