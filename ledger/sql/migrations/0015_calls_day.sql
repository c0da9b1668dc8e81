-- A day's table of the call journal is attached, not created as a partition: that waited for everybody
-- who reads the journal, and a backup over midnight (UTC) reads it for hours.

SET LOCAL ROLE ledger_owner;

CREATE OR REPLACE FUNCTION ledger.create_calls_day(day date) RETURNS void
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
    PERFORM pg_advisory_xact_lock(hashtext('ledger.calls'));
    IF to_regclass('ledger.' || partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    -- From PostgreSQL 17 on a partition has its parent's identity and may bring none of its own.
    EXECUTE format(
        'CREATE TABLE ledger.%I (LIKE ledger.calls INCLUDING ALL EXCLUDING IDENTITY)', partition_name
    );
    EXECUTE format(
        'ALTER TABLE ledger.calls ATTACH PARTITION ledger.%I FOR VALUES FROM (%L) TO (%L)',
        partition_name, day::timestamptz, (day + 1)::timestamptz
    );
END
$$;
