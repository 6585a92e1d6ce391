package tokend.client;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.health.v1.HealthGrpc;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executor;
import java.util.regex.Pattern;

/** Attaches the token in a file to calls. Each call reads the file again. */
final class BearerTokenFile extends CallCredentials {
  // The grammar of RFC 6750, section 2.1.
  private static final Pattern TOKEN = Pattern.compile("[A-Za-z0-9._~+/-]+=*");

  // Some editors write it before UTF-8 text; decoded as Latin-1.
  private static final String BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf";

  private final Path file;

  BearerTokenFile(Path file) {
    this.file = file;
  }

  @Override
  public void applyRequestMetadata(RequestInfo requestInfo, Executor appExecutor, MetadataApplier applier) {
    if (!TokendCallCredentials.isPrivate(requestInfo)) {
      applier.fail(TokendCallCredentials.NOT_PRIVATE);
      return;
    }
    boolean isHealthCheck = HealthGrpc.SERVICE_NAME.equals(requestInfo.getMethodDescriptor().getServiceName());
    appExecutor.execute(() -> apply(applier, isHealthCheck));
  }

  private void apply(MetadataApplier applier, boolean isHealthCheck) {
    try {
      applier.apply(TokendCallCredentials.authorization(read()));
    } catch (IOException e) {
      if (isHealthCheck) {
        // A failed health watch would make calls wait without reporting the cause.
        applier.apply(new Metadata());
      } else {
        applier.fail(Status.UNAUTHENTICATED.withDescription("no token: " + e).withCause(e));
      }
    }
  }

  private String read() throws IOException {
    // Latin-1 decodes any octet.
    String content = Files.readString(file, StandardCharsets.ISO_8859_1);
    String token = (content.startsWith(BYTE_ORDER_MARK) ? content.substring(BYTE_ORDER_MARK.length()) : content).strip();
    if (!TOKEN.matcher(token).matches()) {
      throw new IOException(file + " contains no bearer token");
    }
    return token;
  }
}
