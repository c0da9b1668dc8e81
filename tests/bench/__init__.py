"""The benchmark suite: one run, one PostgreSQL, all that is compared measured side by side."""
