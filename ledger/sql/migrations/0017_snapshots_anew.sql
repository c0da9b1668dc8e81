-- A snapshot that could not be read is replaced by one of the same version: the player was folded
-- from all events until a later one was due.

SET LOCAL ROLE ledger_owner;

CREATE OR REPLACE FUNCTION {schema}.save_snapshots(
    streams text[], versions bigint[], states bytea[]
)
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO {schema}.snapshots AS kept (stream, version, state)
SELECT * FROM unnest(streams, versions, states)
ON CONFLICT (stream) DO UPDATE SET version = excluded.version, state = excluded.state
WHERE kept.version <= excluded.version
$$;
