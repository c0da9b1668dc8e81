-- A partition's seals: signed words about how far its log went, and what it held. Append only.

SET LOCAL ROLE ledger_owner;

CREATE TABLE {schema}.seals (
    number bigint PRIMARY KEY CHECK (number >= 1),
    through_id bigint NOT NULL,
    events bigint NOT NULL CHECK (events >= 1),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    sealed_at timestamptz NOT NULL,
    key_id text COLLATE "C" NOT NULL CHECK (key_id <> ''),
    signature bytea NOT NULL CHECK (octet_length(signature) = 64)
);

CREATE TRIGGER forbid_change_of_rows BEFORE UPDATE OR DELETE ON {schema}.seals
    FOR EACH ROW EXECUTE FUNCTION ledger.forbid_change();
CREATE TRIGGER forbid_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.seals
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.forbid_change();
-- Also where session_replication_role would silence an ordinary trigger.
ALTER TABLE {schema}.seals ENABLE ALWAYS TRIGGER forbid_change_of_rows;
ALTER TABLE {schema}.seals ENABLE ALWAYS TRIGGER forbid_change;

-- Each seal as the line of JSON that its copies outside have.
CREATE VIEW {schema}.seals_readable AS
SELECT number, format(
    '{"partition":%s,"number":%s,"through_id":%s,"events":%s,"root":"%s","previous":"%s",'
    '"sealed_at":"%s","key_id":%s,"signature":"%s"}',
    substring('{schema}' FROM '[0-9]+$')::integer, number, through_id, events,
    encode(root, 'hex'), encode(previous, 'hex'),
    to_char(sealed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_json(key_id),
    encode(signature, 'hex')
) AS line
FROM {schema}.seals;

GRANT USAGE ON SCHEMA {schema} TO ledger_seal;
GRANT SELECT ON {schema}.events TO ledger_seal;
GRANT SELECT, INSERT ON {schema}.seals TO ledger_seal;
GRANT SELECT ON {schema}.seals, {schema}.seals_readable TO ledger_app, ledger_reader;
