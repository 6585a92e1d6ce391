package tokend.client;

import io.grpc.ClientStreamTracer;
import io.grpc.Metadata;

/**
 * Hides the retry pushback trailer from gRPC for Java, which would retry regardless of the status code (in gRFC A6, the
 * code comes first) and spend the call's deadline on the delay. The caller gets the delay from {@link
 * TokendException#retryDelay()} instead.
 */
final class PushbackFilter extends ClientStreamTracer.Factory {
  static final PushbackFilter INSTANCE = new PushbackFilter();

  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  private PushbackFilter() {}

  @Override
  public ClientStreamTracer newClientStreamTracer(ClientStreamTracer.StreamInfo info, Metadata headers) {
    return new ClientStreamTracer() {
      @Override
      public void inboundTrailers(Metadata trailers) {
        trailers.discardAll(PUSHBACK);
      }
    };
  }
}
