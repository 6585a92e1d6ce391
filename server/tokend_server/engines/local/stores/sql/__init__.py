"""What stores on SQL databases share: the tables, the migrations, and the port in terms of SQLAlchemy."""
