"""A gRPC token service: developer identities as Amazon Cognito has them, kept here or at Cognito."""
