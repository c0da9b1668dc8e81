-- The embedded server's login of the service: it may do what ledger_app may, and nothing else.

DO $login$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ledger_app') THEN
        CREATE ROLE ledger_app NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'wallet_ledger') THEN
        CREATE ROLE wallet_ledger LOGIN;
    END IF;
    IF NOT pg_has_role('wallet_ledger', 'ledger_app', 'MEMBER') THEN
        GRANT ledger_app TO wallet_ledger;
    END IF;
END
$login$;
