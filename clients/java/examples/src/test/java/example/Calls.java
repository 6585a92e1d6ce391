package example;

import io.grpc.CallCredentials;
import io.grpc.stub.AbstractStub;
import tokend.client.TokenSource;
import tokend.client.TokendCallCredentials;
import tokend.client.TokendClientInterceptor;

final class Calls {
  static <S extends AbstractStub<S>> S withToken(S stub, TokenSource source) {
    return stub.withCallCredentials(new TokendCallCredentials(source));
  }

  static CallCredentials toSidecar(TokenSource source) {
    return new TokendCallCredentials(source).allowingPlaintext();
  }

  static <S extends AbstractStub<S>> S withFreshToken(S stub, TokenSource source) {
    return stub.withInterceptors(new TokendClientInterceptor(source));
  }

  private Calls() {}
}
