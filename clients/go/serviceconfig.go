package tokend

// ServiceConfig is the gRPC service config that every client comes with: a connection to each address, used in turn
// while its health check says SERVING; retries of what a draining or restarting server answers; a deadline of 3 s.
//
// gRPC takes the earlier of this deadline and the caller's own. A client with this very config has tokend_round_robin in
// place of round_robin, which differs in that each attempt of a call goes to another connection. Other configs may name it.
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
