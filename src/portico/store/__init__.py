"""The system of record: tables, queries and migrations. Only control opens it; workers never import this."""
