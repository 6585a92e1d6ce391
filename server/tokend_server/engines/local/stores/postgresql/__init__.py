"""The store on PostgreSQL, which any number of servers share: its connections, their time bounds, and transactions."""
