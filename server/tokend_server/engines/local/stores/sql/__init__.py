"""The common parts of SQL stores: the tables, the migrations, and the port's implementation with SQLAlchemy."""
