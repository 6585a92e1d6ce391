package tokend

// ServiceConfig is the default gRPC service config of a client: round-robin over a connection to each address whose
// health check reports SERVING; retries of calls that fail while a server drains or restarts; a timeout of 3 s.
//
// gRPC applies the earlier of this timeout and the caller's deadline. With exactly this config, a client uses
// tokend_round_robin in place of round_robin: each attempt of a call goes to another connection. Other configs may name
// tokend_round_robin, too.
const ServiceConfig = `{
  "loadBalancingConfig": [{ "round_robin": {} }],
  "healthCheckConfig": { "serviceName": "tokend.v1.DeveloperIdentityService" },
  "methodConfig": [
    {
      "name": [{ "service": "tokend.v1.DeveloperIdentityService" }],
      "timeout": "3s",
      "retryPolicy": {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]
      }
    }
  ],
  "retryThrottling": { "maxTokens": 10, "tokenRatio": 0.1 }
}
`
