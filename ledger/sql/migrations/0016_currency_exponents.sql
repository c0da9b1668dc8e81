-- How many decimals people, and providers' subunits, use of each currency: with another exponent an
-- amount on the wire is worth ten or a hundred times as much. Beside the scales, whose rows stay as
-- they are. Shared by all partitions.

SET LOCAL ROLE ledger_owner;

CREATE TABLE ledger.currency_exponents (
    currency text COLLATE "C" PRIMARY KEY,
    exponent integer NOT NULL CHECK (exponent >= 0),
    recorded_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT ON ledger.currency_exponents TO ledger_app, ledger_reader;
GRANT INSERT (currency, exponent) ON ledger.currency_exponents TO ledger_app;

CREATE TRIGGER forbid_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.currency_exponents
FOR EACH STATEMENT EXECUTE FUNCTION ledger.forbid_change();
ALTER TABLE ledger.currency_exponents ENABLE ALWAYS TRIGGER forbid_change;
