-- The role that writes the views, and what keeps the journal balanced. Shared by all partitions.

DO $role$
DECLARE
    service name;
BEGIN
    -- Roles belong to the whole server: another database may have made this one, even this moment.
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ledger_project') THEN
        BEGIN
            CREATE ROLE ledger_project NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    -- The logins that serve run the projections too, unless somebody takes this right from them.
    FOR service IN
        SELECT logins.rolname
        FROM pg_catalog.pg_auth_members AS members
        JOIN pg_catalog.pg_roles AS logins ON logins.oid = members.member
        WHERE members.roleid = 'ledger_app'::regrole
            AND NOT pg_has_role(logins.rolname, 'ledger_project', 'MEMBER')
    LOOP
        BEGIN
            EXECUTE format('GRANT ledger_project TO %I', service);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$role$;

SET LOCAL ROLE ledger_owner;

GRANT USAGE ON SCHEMA ledger TO ledger_project;
GRANT SELECT ON ledger.migrations, ledger.settings TO ledger_project;

-- Statement trigger of every journal: an event's postings come in one statement and sum to zero.
CREATE FUNCTION ledger.require_balanced_postings() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    broken record;
BEGIN
    SELECT added.notification_id, added.currency INTO broken
    FROM added
    GROUP BY added.notification_id, added.currency
    HAVING sum(added.amount) <> 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the postings of event % do not sum to zero in %',
            broken.notification_id, broken.currency
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION ledger.require_balanced_postings() FROM PUBLIC;
