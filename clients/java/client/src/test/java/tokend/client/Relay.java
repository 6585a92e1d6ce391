package tokend.client;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicBoolean;

/** A TCP proxy between a client and a server that can make existing connections hang. */
final class Relay implements AutoCloseable {
  /** The accepted connections. */
  final BlockingQueue<Socket> accepted = new LinkedBlockingQueue<>();

  private final ServerSocket listening = new ServerSocket(0);
  private final List<Socket> sockets = new CopyOnWriteArrayList<>();
  private final int serverPort;
  private volatile AtomicBoolean hanging = new AtomicBoolean();

  Relay(int serverPort) throws IOException {
    this.serverPort = serverPort;
    daemon(this::accept);
  }

  int port() {
    return listening.getLocalPort();
  }

  /** Stops forwarding on existing connections; new ones work. */
  void hang() {
    AtomicBoolean old = hanging;
    hanging = new AtomicBoolean();
    old.set(true);
  }

  private void accept() throws IOException {
    while (true) {
      Socket client = listening.accept();
      Socket server = new Socket(InetAddress.getLoopbackAddress(), serverPort);
      sockets.addAll(List.of(client, server));
      AtomicBoolean isHanging = hanging;
      accepted.add(client);
      daemon(() -> pump(client, server, isHanging));
      daemon(() -> pump(server, client, isHanging));
    }
  }

  private static void pump(Socket from, Socket to, AtomicBoolean isHanging) throws IOException {
    byte[] buffer = new byte[8192];
    for (int read = from.getInputStream().read(buffer); read >= 0; read = from.getInputStream().read(buffer)) {
      if (!isHanging.get()) {
        to.getOutputStream().write(buffer, 0, read);
      }
    }
  }

  private interface Work {
    void run() throws IOException;
  }

  private static void daemon(Work work) {
    Thread thread =
        new Thread(
            () -> {
              try {
                work.run();
              } catch (IOException e) {
                // The connection or the relay was closed.
              }
            });
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public void close() throws IOException {
    listening.close();
    for (Socket socket : sockets) {
      socket.close();
    }
  }
}
