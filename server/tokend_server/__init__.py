"""A gRPC token service with the developer identities of Amazon Cognito, in its own store or in Cognito."""
