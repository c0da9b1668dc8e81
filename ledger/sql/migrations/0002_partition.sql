-- A partition: the log of its players' events and what hangs on it. Append only.

DO $partition$
BEGIN
    IF to_regnamespace('{schema}') IS NULL THEN
        EXECUTE 'CREATE SCHEMA {schema} AUTHORIZATION ledger_owner';
    END IF;
END
$partition$;

SET LOCAL ROLE ledger_owner;

-- Columns and their order are those of the eventsourcing library.
CREATE TABLE {schema}.events (
    originator_id text COLLATE "C" NOT NULL,
    originator_version bigint NOT NULL,
    topic text COLLATE "C" NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial NOT NULL,
    PRIMARY KEY (originator_id, originator_version),
    CONSTRAINT events_version_check CHECK (originator_version >= 1),
    CONSTRAINT events_stream_check CHECK (originator_id <> ''),
    CONSTRAINT events_topic_check CHECK (topic <> ''),
    -- The chain hash, then a payload.
    CONSTRAINT events_state_check CHECK (octet_length(state) > 32)
);

CREATE UNIQUE INDEX events_notification_id_idx ON {schema}.events (notification_id);

-- Every idempotency key that was ever used, for ever.
CREATE TABLE {schema}.transactions (
    integration text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    player_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    fingerprint bytea,
    refers_to text COLLATE "C",
    round_id text COLLATE "C",
    closes_round boolean NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (integration, key),
    CONSTRAINT transactions_name_check CHECK (integration <> '' AND key <> ''),
    CONSTRAINT transactions_player_check CHECK (player_id <> '' AND version >= 1),
    CONSTRAINT transactions_kind_check CHECK (kind <> ''),
    CONSTRAINT transactions_fingerprint_check CHECK (octet_length(fingerprint) = 32)
);

CREATE INDEX transactions_round_idx ON {schema}.transactions (player_id, integration, round_id);
CREATE INDEX transactions_refers_to_idx ON {schema}.transactions (integration, refers_to)
    WHERE refers_to IS NOT NULL;

CREATE TABLE {schema}.sessions (
    token_hash bytea PRIMARY KEY,
    player_id text COLLATE "C" NOT NULL,
    integration text COLLATE "C" NOT NULL,
    game text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    parent_hash bytea,
    opened_at timestamptz NOT NULL,
    CONSTRAINT sessions_token_hash_check CHECK (octet_length(token_hash) = 32),
    CONSTRAINT sessions_parent_hash_check CHECK (octet_length(parent_hash) = 32),
    CONSTRAINT sessions_player_check CHECK (player_id <> ''),
    CONSTRAINT sessions_currency_check CHECK (currency <> '')
);

-- A shortcut to a stream's state, replaced at will: the events are the truth.
CREATE TABLE {schema}.snapshots (
    stream text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL CHECK (version >= 1),
    state bytea NOT NULL CHECK (octet_length(state) > 32)
);

DO $triggers$
DECLARE
    kept name;
BEGIN
    FOREACH kept IN ARRAY ARRAY['events', 'transactions', 'sessions']::name[] LOOP
        EXECUTE format(
            'CREATE TRIGGER forbid_change_of_rows BEFORE UPDATE OR DELETE ON {schema}.%I '
            'FOR EACH ROW EXECUTE FUNCTION ledger.forbid_change()', kept);
        EXECUTE format(
            'CREATE TRIGGER forbid_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger.forbid_change()', kept);
        -- Also where session_replication_role would silence an ordinary trigger.
        EXECUTE format('ALTER TABLE {schema}.%I ENABLE ALWAYS TRIGGER forbid_change_of_rows', kept);
        EXECUTE format('ALTER TABLE {schema}.%I ENABLE ALWAYS TRIGGER forbid_change', kept);
    END LOOP;
END
$triggers$;

-- For a person in psql: what an event says, without the packing.
CREATE VIEW {schema}.events_readable AS
SELECT
    notification_id,
    originator_id AS stream,
    originator_version AS version,
    topic AS name,
    convert_from(substring(state FROM 33), 'UTF8')::jsonb AS payload,
    encode(substring(state FROM 1 FOR 32), 'hex') AS hash
FROM {schema}.events;

GRANT USAGE ON SCHEMA {schema} TO ledger_app, ledger_reader;
GRANT SELECT ON {schema}.events, {schema}.transactions, {schema}.sessions, {schema}.snapshots,
    {schema}.events_readable TO ledger_app, ledger_reader;
