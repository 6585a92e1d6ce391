package tokend.conformance;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.grpc.ConnectivityState;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;
import tokend.client.CachedTokenSource;
import tokend.client.Client;
import tokend.client.ClientBuilder;
import tokend.client.Token;
import tokend.client.TokenCache;
import tokend.client.TokendException;
import tokend.verifier.Identity;
import tokend.verifier.TokenRejectedException;
import tokend.verifier.TokenVerifier;

/** A run of one case. */
final class Play implements AutoCloseable {
  /** The variable of a stampede with a different number for each user. */
  private static final String NUMBER = "number";

  /** The default deadline of refreshes, long enough for a busy machine. */
  private static final Duration LONG_REFRESH_TIMEOUT = Duration.ofMinutes(1);

  /** How long a client may take to reconnect to a restarted server. */
  private static final Duration RECONNECT_TIMEOUT = Duration.ofSeconds(30);

  private static final Duration POLL_INTERVAL = Duration.ofMillis(20);

  private final Harness harness;
  private final Verifier verifier;
  private final Variables variables;
  private final CallCounter counter = new CallCounter();
  private final Client client;
  private final TokenCache cache;
  private final Map<String, CachedTokenSource> sources = new HashMap<>();
  private final Map<String, String> tokens = new HashMap<>();
  private final Map<String, Integer> marks = new HashMap<>();
  private final Map<String, Long> seenAt = new HashMap<>();
  private final FakeClocks clocks = new FakeClocks();
  private final Members document;

  Play(Harness harness, Verifier verifier, JsonElement written) {
    this.harness = harness;
    this.verifier = verifier;
    variables = new Variables(harness.variables());
    variables.put("run", HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextLong()));
    variables.put(NUMBER, "${" + NUMBER + "}");
    document = new Members(written);
    String server = document.find("server").map(JsonElement::getAsString).orElse("served");
    int users = document.find("max_users").map(JsonElement::getAsInt).orElse(TokenCache.DEFAULT_MAX_USERS);
    Duration timeout =
        document.find("refresh_timeout_seconds").map(JsonElement::getAsLong).map(Duration::ofSeconds).orElse(LONG_REFRESH_TIMEOUT);
    ClientBuilder builder = harness.client(server).intercept(counter);
    if (timeout.isZero()) {
      client = builder.build();
      cache = client.tokenCache(clocks.policy(), users);
    } else {
      client = builder.deadline(timeout).build();
      cache = client.tokenCache(clocks.policy().withRefreshTimeout(timeout), users);
    }
  }

  private interface Step {
    void play(Members members) throws Exception;
  }

  private final Map<String, Step> kinds =
      Map.ofEntries(
          Map.entry("call", this::call),
          Map.entry("token", this::ask),
          Map.entry("stampede", this::stampede),
          Map.entry("invalidate", this::invalidate),
          Map.entry("move_wall_clock", this::moveWallClock),
          Map.entry("advance", this::advance),
          Map.entry("await_refresh", this::awaitRefresh),
          Map.entry("conductor", step -> harnessConduct(step.text("conductor"))),
          Map.entry("verify", this::verify),
          Map.entry("judge", this::judge),
          Map.entry("mark", step -> marks.put(step.text("mark"), counter.calls())),
          Map.entry("count_calls", this::countCalls));

  void play() throws Exception {
    document.text("name");
    document.text("why");
    Map<String, String> expanded = new HashMap<>();
    document
        .find("variables")
        .ifPresent(own -> variables.expand(own).getAsJsonObject().asMap().forEach((name, value) -> expanded.put(name, value.getAsString())));
    expanded.forEach(variables::put);
    int number = 0;
    for (JsonElement step : document.take("steps").getAsJsonArray()) {
      number++;
      try {
        step(new Members(variables.expand(step)));
      } catch (AssertionError | Exception e) {
        throw new AssertionError("step " + number + ": " + e.getMessage(), e);
      }
    }
    document.end();
  }

  private void step(Members members) throws Exception {
    List<String> kind = kinds.keySet().stream().filter(members::has).toList();
    assertThat(kind).as("the kind of the step").hasSize(1);
    Step step = kinds.get(kind.get(0));
    if (step != null) {
      step.play(members);
    }
    members.end();
  }

  /** Sends a command to the conductor. After a restart of the server, waits until the client is connected. */
  private void harnessConduct(String path) throws Exception {
    harness.conduct(path);
    if (!"/start".equals(path)) {
      return;
    }
    long started = System.nanoTime();
    while (client.connectivity() != ConnectivityState.READY) {
      assertThat(System.nanoTime() - started).as("nanoseconds without a connection").isLessThan(RECONNECT_TIMEOUT.toNanos());
      Thread.sleep(POLL_INTERVAL.toMillis());
    }
  }

  private void call(Members step) throws Exception {
    String operation = step.text("call");
    JsonElement request = step.take("request");
    Client caller = timeout(step).map(client::withDeadline).orElse(client);
    Members expect = step.members("expect");
    JsonObject response = new JsonObject();
    TokendException failure = null;
    try {
      response = Operations.call(caller, operation, request);
    } catch (TokendException e) {
      failure = e;
    }
    if (expect.has("error")) {
      Expectations.assertFailed(expect.members("error"), failure);
    } else {
      assertThat(failure).isNull();
      Expectations.assertMatches(expect.take("response"), response, "response");
    }
    expect.end();
    remember(step, response);
  }

  private void remember(Members step, JsonObject response) {
    step.find("remember")
        .ifPresent(
            names ->
                names
                    .getAsJsonObject()
                    .asMap()
                    .forEach((name, member) -> variables.put(name, response.get(member.getAsString()).getAsString())));
  }

  private void ask(Members step) throws Exception {
    String name = step.text("token");
    Optional<JsonElement> request = step.find("request");
    assertThat(request.isPresent()).as("the request of " + name + " comes with its first use").isEqualTo(!sources.containsKey(name));
    if (request.isPresent()) {
      sources.put(name, cache.source(Operations.tokenRequest(request.get())));
    }
    int callers = step.find("parallel").map(JsonElement::getAsInt).orElse(1);
    JsonElement expect = step.take("expect");
    Optional<String> remember = step.find("remember").map(JsonElement::getAsString);
    boolean close = step.find("close").map(JsonElement::getAsBoolean).orElse(false);
    for (Answer answer : askAtOnce(sourceOf(name), callers, timeout(step), close)) {
      check(answer, new Members(expect), remember);
    }
    note(name);
  }

  /** Records the reading of the clock when a token is first seen. */
  private void note(String source) {
    sourceOf(source).current().ifPresent(token -> seenAt.putIfAbsent(token.value(), clocks.nanoTime()));
  }

  private void awaitRefresh(Members step) throws Exception {
    String source = step.text("await_refresh");
    sourceOf(source).idle().get();
    note(source);
  }

  private void stampede(Members step) throws Exception {
    Members stampede = step.members("stampede");
    String request = stampede.take("request").toString();
    int users = stampede.take("users").getAsInt();
    List<CompletableFuture<Token>> tokens = new ArrayList<>();
    for (int user = 0; user < users; user++) {
      String own = request.replace("${" + NUMBER + "}", String.valueOf(user));
      tokens.add(cache.tokenAsync(Operations.tokenRequest(JsonParser.parseString(own))));
    }
    for (CompletableFuture<Token> token : tokens) {
      assertThat(token.get().value()).isNotEmpty();
    }
    assertThat(counter.most()).isLessThanOrEqualTo(stampede.take("most_at_once").getAsInt());
    stampede.end();
  }

  private void invalidate(Members step) {
    String token = tokenOf(step.text("invalidate"));
    sourceOf(step.text("source")).invalidate(new Token("", token, null, Instant.EPOCH, Instant.EPOCH));
  }

  private void moveWallClock(Members step) {
    Members move = step.members("move_wall_clock");
    clocks.moveWall(seconds(move));
    move.end();
  }

  private static Duration seconds(Members members) {
    return Duration.ofNanos((long) (members.take("seconds").getAsDouble() * 1e9));
  }

  private record Answer(@Nullable Token token, @Nullable TokendException failure) {}

  private List<Answer> askAtOnce(CachedTokenSource source, int callers, Optional<Duration> timeout, boolean close)
      throws Exception {
    Callable<Answer> ask =
        () -> {
          try {
            return new Answer(timeout.isPresent() ? source.token(timeout.get()) : source.token(), null);
          } catch (TokendException e) {
            return new Answer(null, e);
          }
        };
    ExecutorService threads = Executors.newFixedThreadPool(callers);
    try {
      List<Answer> answers = new ArrayList<>();
      List<Future<Answer>> asked = Collections.nCopies(callers, ask).stream().map(threads::submit).toList();
      if (close) {
        counter.awaitCall();
        cache.close();
      }
      for (Future<Answer> answer : asked) {
        answers.add(answer.get());
      }
      return answers;
    } finally {
      threads.shutdown();
    }
  }

  private void check(Answer answer, Members expect, Optional<String> remember) {
    if (expect.has("error")) {
      Expectations.assertFailed(expect.members("error"), answer.failure());
    } else {
      assertThat(answer.failure()).isNull();
      String token = answer.token() == null ? "" : answer.token().value();
      checkToken(token, expect.take("token"), remember);
    }
    expect.end();
  }

  private void checkToken(String token, JsonElement expected, Optional<String> remember) {
    if (expected.isJsonPrimitive()) {
      assertThat(tokens.computeIfAbsent(expected.getAsString(), name -> token).equals(token))
          .as("the token is " + expected)
          .isTrue();
      return;
    }
    Members other = new Members(expected);
    String known = tokenOf(other.text("not"));
    other.end();
    assertThat(known.equals(token)).as("the token is not " + expected).isFalse();
    tokens.put(remember.orElseThrow(), token);
  }

  private void advance(Members step) {
    Members advance = step.members("advance");
    Duration by = seconds(advance);
    Optional<String> source = advance.find("source").map(JsonElement::getAsString);
    if (source.isPresent()) {
      Token token = sourceOf(source.get()).current().orElseThrow();
      note(source.get());
      Instant time =
          switch (advance.text("to")) {
            case "refresh_time" -> token.refreshTime();
            case "expire_time" -> token.expireTime();
            default -> throw new AssertionError("no such time");
          };
      Instant issued = Optional.ofNullable(token.issueTime()).orElseThrow();
      long age = clocks.nanoTime() - Optional.ofNullable(seenAt.get(token.value())).orElseThrow();
      by = by.plus(Duration.between(issued, time)).minusNanos(age);
    }
    clocks.advance(by);
    advance.end();
  }

  private void verify(Members step) throws Exception {
    String claims = verifier.verify(tokenOf(step.text("verify"))).toString();
    Members expect = step.members("expect");
    Expectations.assertMatches(expect.take("claims"), JsonParser.parseString(claims), "claims");
    expect.end();
  }

  private void judge(Members step) throws Exception {
    String token = harness.ask("/sign", step.take("judge").toString());
    String[] pools =
        step.take("identity_pool_ids").getAsJsonArray().asList().stream()
            .map(JsonElement::getAsString)
            .toArray(String[]::new);
    String issuer = Optional.ofNullable(harness.variables().get("login_issuer")).orElseThrow();
    Members expect = step.members("expect");
    Optional<JsonElement> expected = expect.find("identity");
    assertThat(expected.isPresent()).isNotEqualTo(expect.find("rejected").isPresent());
    expect.end();
    JsonObject found = new JsonObject();
    try {
      Identity identity = TokenVerifier.builder(issuer, pools).build().verify(token);
      found.addProperty("identityId", identity.identityId());
      found.addProperty("identityPoolId", identity.identityPoolId());
      found.add("principalTags", new Gson().toJsonTree(identity.principalTags()));
    } catch (TokenRejectedException e) {
      assertThat(expected).as(e.toString()).isEmpty();
      return;
    }
    assertThat(Optional.of(found)).isEqualTo(expected);
  }

  private void countCalls(Members step) {
    Members count = step.members("count_calls");
    Integer mark = marks.get(count.text("since"));
    assertThat(mark).isNotNull();
    int calls = counter.calls() - (mark == null ? 0 : mark);
    assertThat(count.has("at_most")).isNotEqualTo(count.has("exactly"));
    count.find("at_most").ifPresent(most -> assertThat(calls).isLessThanOrEqualTo(most.getAsInt()));
    count.find("exactly").ifPresent(exactly -> assertThat(calls).isEqualTo(exactly.getAsInt()));
    count.end();
  }

  private static Optional<Duration> timeout(Members step) {
    return step.find("timeout_ms").map(value -> Duration.ofMillis(value.getAsLong()));
  }

  private CachedTokenSource sourceOf(String name) {
    return Optional.ofNullable(sources.get(name)).orElseThrow(() -> new AssertionError("no source " + name));
  }

  private String tokenOf(String name) {
    return Optional.ofNullable(tokens.get(name)).orElseThrow(() -> new AssertionError("no token " + name));
  }

  @Override
  public void close() {
    cache.close();
    client.close();
  }
}
