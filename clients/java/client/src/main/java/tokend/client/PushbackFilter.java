package tokend.client;

import io.grpc.ClientStreamTracer;
import io.grpc.Metadata;

/**
 * Hides the trailer that says when to retry from gRPC for Java, which retries for it whatever the status code is (gRFC A6
 * has the code come first). A call that should be repeated in a second would spend its deadline on that; its caller is
 * shown it instead, by {@link TokendException#retryDelay()}.
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
