-- What every migration relies on: the roles, the shared schema and the list of migrations.
-- Runs as the login that migrates, once a database; doing it again changes nothing.

DO $bootstrap$
DECLARE
    wanted name;
BEGIN
    -- Roles belong to the whole server: another database may have made them, even this moment.
    FOREACH wanted IN ARRAY ARRAY['ledger_owner', 'ledger_app', 'ledger_reader']::name[] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
    IF current_setting('is_superuser') = 'off' THEN
        -- The mode SET exists from PostgreSQL 16 on, where membership alone no longer allows SET ROLE.
        IF NOT pg_has_role(current_user, 'ledger_owner', CASE
            WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER'
        END) THEN
            EXECUTE 'GRANT ledger_owner TO CURRENT_USER';
        END IF;
        IF NOT pg_has_role(current_user, 'ledger_app', 'MEMBER') THEN
            EXECUTE 'GRANT ledger_app TO CURRENT_USER';
        END IF;
    END IF;
    IF to_regnamespace('ledger') IS NULL THEN
        EXECUTE 'CREATE SCHEMA ledger AUTHORIZATION ledger_owner';
    END IF;
END
$bootstrap$;

SET LOCAL ROLE ledger_owner;

CREATE TABLE IF NOT EXISTS ledger.migrations (
    number integer PRIMARY KEY CHECK (number > 0),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS ledger.settings (
    -- One row: the number of partitions can never change, a player's partition hangs on it.
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    partitions integer NOT NULL CHECK (partitions BETWEEN 1 AND 100)
);

GRANT USAGE ON SCHEMA ledger TO ledger_app, ledger_reader;
GRANT SELECT ON ledger.migrations, ledger.settings TO ledger_app, ledger_reader;
