"""What runs on an engine: no database, no spool, no ipyparallel client."""
