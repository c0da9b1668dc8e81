-- Reconciliations: who had which statement compared, what came of it, and what differed. Shared by
-- all partitions, append only.

SET LOCAL ROLE ledger_owner;

CREATE TABLE ledger.reconciliations (
    id text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    begun_at timestamptz NOT NULL DEFAULT now(),
    begun_by text NOT NULL CHECK (begun_by <> ''),
    integration text COLLATE "C" NOT NULL CHECK (integration <> ''),
    begins timestamptz NOT NULL,
    ends timestamptz NOT NULL CHECK (ends > begins),
    time_zone text NOT NULL,
    edge_s integer NOT NULL CHECK (edge_s >= 0),
    statement_sha256 bytea NOT NULL CHECK (octet_length(statement_sha256) = 32),
    statement_bytes bigint NOT NULL CHECK (statement_bytes >= 0)
);

-- Either an outcome, or why there is none.
CREATE TABLE ledger.reconciliation_results (
    id text COLLATE "C" PRIMARY KEY,
    finished_at timestamptz NOT NULL DEFAULT now(),
    outcome json,
    error text,
    CHECK ((outcome IS NULL) <> (error IS NULL))
);

CREATE TABLE ledger.reconciliation_differences (
    id text COLLATE "C" NOT NULL,
    number bigint NOT NULL CHECK (number >= 1),
    kind text COLLATE "C" NOT NULL CHECK (kind <> ''),
    content json NOT NULL,
    PRIMARY KEY (id, number)
);

DO $triggers$
DECLARE
    kept name;
BEGIN
    FOREACH kept IN ARRAY ARRAY[
        'reconciliations', 'reconciliation_results', 'reconciliation_differences'
    ]::name[] LOOP
        EXECUTE format(
            'CREATE TRIGGER forbid_change_of_rows BEFORE UPDATE OR DELETE ON ledger.%I '
            'FOR EACH ROW EXECUTE FUNCTION ledger.forbid_change()', kept);
        EXECUTE format(
            'CREATE TRIGGER forbid_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger.forbid_change()', kept);
        -- Also where session_replication_role would silence an ordinary trigger.
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER forbid_change_of_rows', kept);
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER forbid_change', kept);
    END LOOP;
END
$triggers$;

GRANT SELECT, INSERT ON ledger.reconciliations, ledger.reconciliation_results,
    ledger.reconciliation_differences TO ledger_app;
GRANT SELECT ON ledger.reconciliations, ledger.reconciliation_results,
    ledger.reconciliation_differences TO ledger_reader;
