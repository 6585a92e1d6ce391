"""A configuration whose pools are made by callers of Cognito's own API."""

#: More of a configuration, with the directory of the file `aws.key`.
MANAGED_POOLS = """
[aws]
listen = "127.0.0.1:0"
manage_pools = true
[callers]
aws_key_file = "{directory}/aws.key"
[callers.aws_keys]
terraform = ["TKNDAAAAAAAAAAAAAAAA"]
[policy.all]
callers = ["aws:*", "anonymous"]
pools = ["*"]
operations = ["*"]
"""
