"""Templates of the table for infrastructure tools, from the settings that `tokend migrate` uses."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from tokend_server.config.dynamodb import DynamoDbTable
from tokend_server.engines.local.stores.dynamodb.items import PARTITION_KEY, SORT_KEY
from tokend_server.engines.local.stores.dynamodb.schema import table_settings

#: Makes a template for a table, as JSON.
_Template: TypeAlias = Callable[[DynamoDbTable], Mapping[str, Any]]


def template(table: DynamoDbTable, language: str) -> str:
    """Returns the template of a table.

    Args:
        table: The table.
        language: `cloudformation` or `terraform`.

    Raises:
        KeyError: There is no template in that language.
    """
    return json.dumps(_TEMPLATES[language](table), indent=2)


def _cloudformation(table: DynamoDbTable) -> Mapping[str, Any]:
    """Source: AWS::DynamoDB::Table, whose properties are those of CreateTable except for encryption."""
    settings = dict(table_settings(table.kms_key_id))
    encryption = settings.pop("SSESpecification")
    properties = {
        "TableName": table.table,
        **settings,
        "SSESpecification": {"SSEEnabled": encryption.pop("Enabled"), **encryption},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    resource = {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }
    return {"Resources": {"TokendTable": resource}}


def _terraform(table: DynamoDbTable) -> Mapping[str, Any]:
    """Source: the resource aws_dynamodb_table, in Terraform's JSON syntax."""
    settings = table_settings(table.kms_key_id)
    resource = {
        "name": table.table,
        "billing_mode": settings["BillingMode"],
        "hash_key": PARTITION_KEY,
        "range_key": SORT_KEY,
        "attribute": [
            {"name": each["AttributeName"], "type": each["AttributeType"]} for each in settings["AttributeDefinitions"]
        ],
        "deletion_protection_enabled": settings["DeletionProtectionEnabled"],
        "point_in_time_recovery": {"enabled": True},
        "server_side_encryption": {
            "enabled": True,
            **({"kms_key_arn": table.kms_key_id} if table.kms_key_id else {}),
        },
        "lifecycle": {"prevent_destroy": True},
    }
    return {"resource": {"aws_dynamodb_table": {"tokend": resource}}}


_TEMPLATES: Mapping[str, _Template] = {"cloudformation": _cloudformation, "terraform": _terraform}
