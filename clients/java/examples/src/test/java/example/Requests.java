package example;

import java.io.IOException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import tokend.client.TokenSource;
import tokend.client.TokendHttpClient;

final class Requests {
  static HttpResponse<String> send(HttpClient http, TokenSource source, HttpRequest request)
      throws IOException, InterruptedException {
    return new TokendHttpClient(http, source).send(request, BodyHandlers.ofString());
  }

  private Requests() {}
}
