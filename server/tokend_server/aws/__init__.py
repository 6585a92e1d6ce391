"""AWS's APIs through boto3: clients whose calls end at their deadlines, their credentials, and their errors."""
