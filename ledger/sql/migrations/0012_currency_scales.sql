-- How many decimals an amount of each currency has in this database: amounts are stored in that unit
-- and mean something else under another. Shared by all partitions.

SET LOCAL ROLE ledger_owner;

CREATE TABLE ledger.currency_scales (
    currency text COLLATE "C" PRIMARY KEY,
    scale integer NOT NULL CHECK (scale >= 0),
    recorded_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT ON ledger.currency_scales TO ledger_app, ledger_reader;
-- A currency that the configuration adds is recorded by the service; what is recorded stays.
GRANT INSERT (currency, scale) ON ledger.currency_scales TO ledger_app;

CREATE TRIGGER forbid_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.currency_scales
FOR EACH STATEMENT EXECUTE FUNCTION ledger.forbid_change();
ALTER TABLE ledger.currency_scales ENABLE ALWAYS TRIGGER forbid_change;
