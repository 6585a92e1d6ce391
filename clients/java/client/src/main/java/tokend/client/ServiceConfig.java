package tokend.client;

import java.math.BigDecimal;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import tokend.v1.DeveloperIdentityServiceGrpc;

/** The default gRPC service config of tokend's clients, as the JSON-like maps that gRPC for Java accepts. */
final class ServiceConfig {
  private static final String SERVICE = DeveloperIdentityServiceGrpc.SERVICE_NAME;

  private ServiceConfig() {}

  static Map<String, Object> withTimeout(Duration timeout) {
    return of(timeout, "round_robin");
  }

  /** Returns the config with this client's own load-balancing policy. */
  static Map<String, Object> spreading(Duration timeout) {
    return of(timeout, SpreadingRoundRobin.NAME);
  }

  private static Map<String, Object> of(Duration timeout, String policy) {
    return Map.of(
        "loadBalancingConfig", List.of(Map.of(policy, Map.of())),
        "healthCheckConfig", Map.of("serviceName", SERVICE),
        "methodConfig", List.of(methodConfig(timeout)),
        "retryThrottling", Map.of("maxTokens", 10.0, "tokenRatio", 0.1));
  }

  private static Map<String, Object> methodConfig(Duration timeout) {
    return Map.of(
        "name", List.of(Map.of("service", SERVICE)),
        "timeout", seconds(timeout),
        "retryPolicy", retryPolicy());
  }

  private static Map<String, Object> retryPolicy() {
    return Map.of(
        "maxAttempts", 4.0,
        "initialBackoff", "0.05s",
        "maxBackoff", "1s",
        "backoffMultiplier", 2.0,
        "retryableStatusCodes", List.of("UNAVAILABLE", "CANCELLED"));
  }

  private static String seconds(Duration duration) {
    return BigDecimal.valueOf(TimeUnit.NANOSECONDS.convert(duration), 9).stripTrailingZeros().toPlainString() + "s";
  }
}
