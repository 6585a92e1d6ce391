"""The store on PostgreSQL, which any number of servers share: its connections, timeouts and transactions."""
