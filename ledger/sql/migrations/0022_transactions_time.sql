-- What was booked in a time: read for each statement of a provider that is reconciled. Rows come in the
-- order of their time, so that an index of ranges does, which costs an append next to nothing.

SET LOCAL ROLE ledger_owner;

CREATE INDEX transactions_recorded_at_idx ON {schema}.transactions USING brin (recorded_at);
