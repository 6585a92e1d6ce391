"""The engine for pools in Amazon Cognito, which calls Cognito through boto3 within callers' deadlines."""
