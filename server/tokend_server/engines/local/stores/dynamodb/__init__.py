"""The store on Amazon DynamoDB: one table, changed by transactions with conditions."""
