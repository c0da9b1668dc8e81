-- Appends take turns at a table of their own. They took the log's, which VACUUM and ANALYZE hold as
-- well: for a second at each of their tries nothing could be booked, and they never got through.

SET LOCAL ROLE ledger_owner;

-- Holds nothing, and nobody but its owner may lock it.
CREATE TABLE {schema}.append_turn ();

-- Verifies and inserts in one transaction, when its turn has come. NULL: everything was inserted.
-- Otherwise nothing was, and the answer names what is in the way, as JSON:
--   streams: those whose head is not at the expected version,
--   transactions: the rows of keys that exist already,
--   rounds: [player, integration, round] of rounds that exist already.
-- new_keys are expected to hold the keys of the transactions to insert; one that they leave out
-- is still refused, by the primary key, but without a word about the others.
CREATE OR REPLACE FUNCTION {schema}.append(
    streams text[], versions bigint[],
    new_key_integrations text[], new_keys text[],
    new_round_players text[], new_round_integrations text[], new_round_ids text[],
    event_streams text[], event_versions bigint[], event_topics text[], event_states bytea[],
    integrations text[], keys text[], player_ids text[], player_versions bigint[], kinds text[],
    fingerprints bytea[], refers_to text[], round_ids text[], closes_rounds boolean[],
    recorded_ats timestamptz[],
    token_hashes bytea[], session_players text[], session_integrations text[],
    session_games text[], session_currencies text[], parent_hashes bytea[],
    opened_ats timestamptz[]
) RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- A plan made on an empty table must not turn into a scan of a full one.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    in_the_way boolean;
BEGIN
    -- A snapshot taken before the lock would verify the past.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append needs the isolation level read committed'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- Before an id is drawn: a reader that tails the log must see ids in the order of commits.
    LOCK TABLE {schema}.append_turn IN EXCLUSIVE MODE;
    -- An append of the release before this one holds the log itself.
    LOCK TABLE {schema}.events IN ROW EXCLUSIVE MODE;

    in_the_way := EXISTS (
        SELECT FROM unnest(streams, versions) AS wanted (stream, version)
        WHERE wanted.version IS DISTINCT FROM coalesce((
            SELECT max(events.originator_version) FROM {schema}.events
            WHERE events.originator_id = wanted.stream
        ), 0)
    );
    IF NOT in_the_way AND new_keys IS NOT NULL THEN
        in_the_way := EXISTS (
            SELECT FROM unnest(new_key_integrations, new_keys) AS wanted (integration, key)
            JOIN {schema}.transactions AS used USING (integration, key)
        );
    END IF;
    IF NOT in_the_way AND new_round_ids IS NOT NULL THEN
        in_the_way := EXISTS (
            SELECT FROM unnest(new_round_players, new_round_integrations, new_round_ids)
                AS wanted (player_id, integration, round_id)
            JOIN {schema}.transactions AS used USING (player_id, integration, round_id)
        );
    END IF;
    IF in_the_way THEN
        RETURN {schema}.conflicts(
            streams, versions,
            new_key_integrations, new_keys,
            new_round_players, new_round_integrations, new_round_ids
        );
    END IF;

    IF event_streams IS NOT NULL THEN
        INSERT INTO {schema}.events (originator_id, originator_version, topic, state)
        SELECT stream, version, topic, state
        FROM unnest(event_streams, event_versions, event_topics, event_states)
            WITH ORDINALITY AS given (stream, version, topic, state, place)
        ORDER BY place;  -- ids are drawn in this order
    END IF;
    IF keys IS NOT NULL THEN
        INSERT INTO {schema}.transactions (
            integration, key, player_id, version, kind,
            fingerprint, refers_to, round_id, closes_round, recorded_at
        )
        SELECT * FROM unnest(
            integrations, keys, player_ids, player_versions, kinds,
            fingerprints, refers_to, round_ids, closes_rounds, recorded_ats
        );
    END IF;
    IF token_hashes IS NOT NULL THEN
        INSERT INTO {schema}.sessions (
            token_hash, player_id, integration, game, currency, parent_hash, opened_at
        )
        SELECT * FROM unnest(
            token_hashes, session_players, session_integrations, session_games,
            session_currencies, parent_hashes, opened_ats
        );
    END IF;
    IF event_streams IS NULL AND keys IS NULL AND token_hashes IS NULL THEN
        -- Nothing to write, yet the answers of this batch must wait for a real commit.
        PERFORM pg_logical_emit_message(true, 'wallet-ledger', '');
    END IF;
    RETURN NULL;
END
$$;
