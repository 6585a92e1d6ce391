"""A configuration whose pools are created through Cognito's own API."""

#: An addition to a configuration; `directory` contains the file `aws.key`.
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
