package tokend.client;

import io.grpc.Attributes;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/** A call of one message with a second attempt, if the first one ends without any response and a rule returns one. */
final class RepeatableCall<Q, R> extends ClientCall<Q, R> {
  /** Decides on the second attempt. */
  interface Rule<Q, R> {
    /** Returns the second attempt after the first one ended with a status, or null. */
    @Nullable ClientCall<Q, R> secondAttempt(Status status);
  }

  private final Rule<Q, R> rule;

  // Guarded by `this`, so that the second attempt gets the same requests as the first one.
  private ClientCall<Q, R> attempt;
  private Metadata headers = new Metadata();
  private int requested;
  private @Nullable Q message;
  private boolean isHalfClosed;
  private boolean isCancelled;

  RepeatableCall(ClientCall<Q, R> first, Rule<Q, R> rule) {
    this.attempt = first;
    this.rule = rule;
  }

  @Override
  public synchronized void start(Listener<R> listener, Metadata given) {
    headers = copy(given);
    attempt.start(new FirstListener(listener), given);
  }

  @Override
  public synchronized void request(int count) {
    requested += count;
    attempt.request(count);
  }

  @Override
  public synchronized void sendMessage(Q value) {
    message = value;
    attempt.sendMessage(value);
  }

  @Override
  public synchronized void halfClose() {
    isHalfClosed = true;
    attempt.halfClose();
  }

  @Override
  public void cancel(@Nullable String text, @Nullable Throwable cause) {
    ClientCall<Q, R> current;
    synchronized (this) {
      isCancelled = true;
      current = attempt;
    }
    // No lock is held, since on a direct executor this calls the listener.
    current.cancel(text, cause);
  }

  @Override
  public synchronized boolean isReady() {
    return attempt.isReady();
  }

  @Override
  public synchronized void setMessageCompression(boolean enabled) {
    attempt.setMessageCompression(enabled);
  }

  @Override
  public synchronized Attributes getAttributes() {
    return attempt.getAttributes();
  }

  private synchronized boolean startSecond(Status status, Listener<R> listener) {
    ClientCall<Q, R> second = isCancelled ? null : rule.secondAttempt(status);
    if (second == null) {
      return false;
    }
    attempt = second;
    second.start(listener, headers);
    if (requested > 0) {
      second.request(requested);
    }
    if (message != null) {
      second.sendMessage(message);
    }
    if (isHalfClosed) {
      second.halfClose();
    }
    return true;
  }

  private static Metadata copy(Metadata headers) {
    Metadata copied = new Metadata();
    copied.merge(headers);
    return copied;
  }

  private final class FirstListener extends Listener<R> {
    private final Listener<R> listener;
    private boolean isAnswered;

    FirstListener(Listener<R> listener) {
      this.listener = listener;
    }

    @Override
    public void onHeaders(Metadata received) {
      isAnswered = true;
      listener.onHeaders(received);
    }

    @Override
    public void onMessage(R received) {
      isAnswered = true;
      listener.onMessage(received);
    }

    @Override
    public void onReady() {
      listener.onReady();
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      if (isAnswered || !startSecond(status, listener)) {
        listener.onClose(status, trailers);
      }
    }
  }
}
