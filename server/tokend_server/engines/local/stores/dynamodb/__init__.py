"""The store on Amazon DynamoDB: one table, with conditional transactions."""
