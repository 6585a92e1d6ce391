package tokend.client;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.Code;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import org.jspecify.annotations.Nullable;
import tokend.v1.DeveloperIdentityServiceGrpc;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityRequest;
import tokend.v1.GetOpenIdTokenForDeveloperIdentityResponse;
import tokend.v1.LookupDeveloperIdentityRequest;
import tokend.v1.LookupDeveloperIdentityResponse;
import tokend.v1.MergeDeveloperIdentitiesRequest;
import tokend.v1.MergeDeveloperIdentitiesResponse;
import tokend.v1.UnlinkDeveloperIdentityRequest;
import tokend.v1.UnlinkDeveloperIdentityResponse;

/** A service with scripted responses, in one sequence for all operations. It records requests. */
final class ScriptedService extends DeveloperIdentityServiceGrpc.DeveloperIdentityServiceImplBase {
  final List<Message> requests = new CopyOnWriteArrayList<>();
  final List<Deadline> deadlines = new CopyOnWriteArrayList<>();
  final BlockingQueue<Call> held = new LinkedBlockingQueue<>();
  final CompletableFuture<Boolean> cancelled = new CompletableFuture<>();

  private final Queue<Object> script = new ArrayDeque<>();
  private boolean holding;

  /** A call that waits for its response. */
  record Call(StreamObserver<Message> answer) {
    void answer(Message response) {
      answer.onNext(response);
      answer.onCompleted();
    }
  }

  static StatusRuntimeException failure(Code code, String text, Message... details) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.getNumber()).setMessage(text);
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  synchronized void then(Object responseOrFailure) {
    script.add(responseOrFailure);
  }

  synchronized void hold() {
    holding = true;
  }

  private synchronized @Nullable Object next() {
    return holding ? null : script.remove();
  }

  private <R extends Message> void play(Message request, StreamObserver<R> observer, Class<R> type) {
    requests.add(request);
    Deadline deadline = Context.current().getDeadline();
    if (deadline != null) {
      deadlines.add(deadline);
    }
    ((ServerCallStreamObserver<R>) observer).setOnCancelHandler(() -> cancelled.complete(true));
    Object next = next();
    if (next == null) {
      held.add(new Call(answerOf(observer, type)));
    } else if (next instanceof StatusRuntimeException failure) {
      observer.onError(failure);
    } else {
      observer.onNext(type.cast(next));
      observer.onCompleted();
    }
  }

  private static <R extends Message> StreamObserver<Message> answerOf(StreamObserver<R> observer, Class<R> type) {
    return new StreamObserver<>() {
      @Override
      public void onNext(Message response) {
        observer.onNext(type.cast(response));
      }

      @Override
      public void onError(Throwable failure) {
        observer.onError(failure);
      }

      @Override
      public void onCompleted() {
        observer.onCompleted();
      }
    };
  }

  @Override
  public void getOpenIdTokenForDeveloperIdentity(
      GetOpenIdTokenForDeveloperIdentityRequest request,
      StreamObserver<GetOpenIdTokenForDeveloperIdentityResponse> observer) {
    play(request, observer, GetOpenIdTokenForDeveloperIdentityResponse.class);
  }

  @Override
  public void lookupDeveloperIdentity(
      LookupDeveloperIdentityRequest request, StreamObserver<LookupDeveloperIdentityResponse> observer) {
    play(request, observer, LookupDeveloperIdentityResponse.class);
  }

  @Override
  public void mergeDeveloperIdentities(
      MergeDeveloperIdentitiesRequest request, StreamObserver<MergeDeveloperIdentitiesResponse> observer) {
    play(request, observer, MergeDeveloperIdentitiesResponse.class);
  }

  @Override
  public void unlinkDeveloperIdentity(
      UnlinkDeveloperIdentityRequest request, StreamObserver<UnlinkDeveloperIdentityResponse> observer) {
    play(request, observer, UnlinkDeveloperIdentityResponse.class);
  }
}
