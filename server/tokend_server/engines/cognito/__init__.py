"""The engine whose pools are Amazon Cognito's, called by boto3 within callers' deadlines."""
