package example;

import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;

/** Prints the access key that the AWS SDK finds by itself, as any program would have it. */
public final class Main {

    public static void main(String[] arguments) {
        try (DefaultCredentialsProvider provider = DefaultCredentialsProvider.builder().build()) {
            System.out.println(provider.resolveCredentials().accessKeyId());
        }
    }

    private Main() {}
}
