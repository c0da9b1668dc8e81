-- The role that seals the log. Shared by all partitions.

DO $role$
DECLARE
    service name;
BEGIN
    -- Roles belong to the whole server: another database may have made this one, even this moment.
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ledger_seal') THEN
        BEGIN
            CREATE ROLE ledger_seal NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    -- The logins that serve may seal too, unless somebody takes this right from them.
    FOR service IN
        SELECT logins.rolname
        FROM pg_catalog.pg_auth_members AS members
        JOIN pg_catalog.pg_roles AS logins ON logins.oid = members.member
        WHERE members.roleid = 'ledger_app'::regrole
            AND NOT pg_has_role(logins.rolname, 'ledger_seal', 'MEMBER')
    LOOP
        BEGIN
            EXECUTE format('GRANT ledger_seal TO %I', service);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$role$;

SET LOCAL ROLE ledger_owner;

GRANT USAGE ON SCHEMA ledger TO ledger_seal;
GRANT SELECT ON ledger.migrations, ledger.settings TO ledger_seal;
