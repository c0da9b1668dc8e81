-- Shared by all partitions: what forbids changes, and the call journal.

SET LOCAL ROLE ledger_owner;

CREATE FUNCTION ledger.forbid_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is forbidden: the ledger is append-only',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

REVOKE ALL ON FUNCTION ledger.forbid_change() FROM PUBLIC;

CREATE TABLE ledger.calls (
    id bigint GENERATED ALWAYS AS IDENTITY,
    received_at timestamptz NOT NULL,
    integration text COLLATE "C" NOT NULL,
    operation text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    query text NOT NULL DEFAULT '',
    body bytea NOT NULL,
    status integer NOT NULL,
    answer bytea NOT NULL,
    outcome text NOT NULL,
    player_id text COLLATE "C",
    transaction_id text COLLATE "C",
    duration_us integer NOT NULL CHECK (duration_us >= 0),
    remote text,
    key_id text,
    worker text,
    trace_id text,
    PRIMARY KEY (received_at, id)
) PARTITION BY RANGE (received_at);

CREATE INDEX calls_transaction_idx ON ledger.calls (integration, transaction_id);

CREATE FUNCTION ledger.create_calls_day(day date) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    partition_name text := 'calls_' || to_char(day, 'YYYYMMDD');
BEGIN
    -- The service may ask for the days around now, not for a million tables.
    IF day NOT BETWEEN current_date - 7 AND current_date + 7 THEN
        RAISE EXCEPTION 'no call journal for %: more than 7 days from now', day
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass('ledger.' || partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ledger.calls'));
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS ledger.%I PARTITION OF ledger.calls FOR VALUES FROM (%L) TO (%L)',
        partition_name, day::timestamptz, (day + 1)::timestamptz
    );
END
$$;

REVOKE ALL ON FUNCTION ledger.create_calls_day(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.create_calls_day(date) TO ledger_app;
GRANT SELECT, INSERT ON ledger.calls TO ledger_app;
GRANT SELECT ON ledger.calls TO ledger_reader;
