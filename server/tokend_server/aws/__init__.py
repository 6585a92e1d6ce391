"""AWS's APIs by boto3: clients whose calls end at their deadlines, their credentials, and what their failures mean."""
