package tokend.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;

class UnaryCallTest {
  private final List<ClientCall.Listener<?>> listeners = new ArrayList<>();
  private final CompletableFuture<String> answer =
      UnaryCall.start(
          new Listeners(),
          DeveloperIdentityServiceGrpc.getLookupDeveloperIdentityMethod(),
          CallOptions.DEFAULT,
          LookupDeveloperIdentityRequest.getDefaultInstance(),
          response -> response.getIdentityId());

  /** Records the listeners of calls. */
  private final class Listeners extends Channel {
    @Override
    public <Q, R> ClientCall<Q, R> newCall(MethodDescriptor<Q, R> method, CallOptions options) {
      return new ClientCall<>() {
        @Override
        public void start(Listener<R> listener, Metadata headers) {
          listeners.add(listener);
        }

        @Override
        public void request(int count) {}

        @Override
        public void cancel(@Nullable String text, @Nullable Throwable cause) {}

        @Override
        public void halfClose() {}

        @Override
        public void sendMessage(Q message) {}
      };
    }

    @Override
    public String authority() {
      return "test";
    }
  }

  @SuppressWarnings("unchecked")
  private ClientCall.Listener<LookupDeveloperIdentityResponse> listener() {
    return (ClientCall.Listener<LookupDeveloperIdentityResponse>) listeners.get(0);
  }

  @Test
  void responseIsReturnedAfterCallEnds() {
    listener().onMessage(LookupDeveloperIdentityResponse.newBuilder().setIdentityId("pool:1").build());
    assertThat(answer).isNotDone();

    listener().onClose(Status.OK, new Metadata());

    assertThat(answer).isCompletedWithValue("pool:1");
  }

  @Test
  void okStatusWithoutMessageIsProtocolError() {
    listener().onClose(Status.OK, new Metadata());

    assertThatExceptionOfType(TokendException.class)
        .isThrownBy(() -> Futures.await(answer))
        .satisfies(e -> assertThat(e.code()).isEqualTo(Status.Code.INTERNAL));
  }
}
