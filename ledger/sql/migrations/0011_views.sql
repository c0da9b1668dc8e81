-- A partition's views of its log: rebuildable at any time, written by projections/ alone.
-- Amounts are ledger units. Each table has a twin, *_rebuild, in which a view is built anew.

SET LOCAL ROLE ledger_owner;

-- How far each view is, committed together with the view itself.
CREATE TABLE {schema}.projections (
    view text COLLATE "C" PRIMARY KEY,
    tables name[] NOT NULL,
    position bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    stopped_at timestamptz,
    error text,
    CONSTRAINT projections_stopped_check CHECK ((stopped_at IS NULL) = (error IS NULL))
);

CREATE TABLE {schema}.balances (
    player_id text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    real bigint NOT NULL,
    bonus bigint NOT NULL,
    held bigint NOT NULL,
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (player_id, currency),
    -- A reversed win may leave the real balance below zero, nothing else any balance.
    CONSTRAINT balances_amounts_check CHECK (bonus >= 0 AND held >= 0),
    CONSTRAINT balances_version_check CHECK (version >= 1)
);

CREATE TABLE {schema}.rounds (
    integration text COLLATE "C" NOT NULL,
    round_id text COLLATE "C" NOT NULL,
    player_id text COLLATE "C" NOT NULL,
    game text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_reason text,
    last_activity_at timestamptz NOT NULL,
    bets bigint NOT NULL,
    stakes bigint NOT NULL,
    refunds_count bigint NOT NULL,
    refunds bigint NOT NULL,
    wins_count bigint NOT NULL,
    wins bigint NOT NULL,
    reversals_count bigint NOT NULL,
    reversals bigint NOT NULL,
    state text COLLATE "C" NOT NULL
        GENERATED ALWAYS AS (CASE WHEN closed_at IS NULL THEN 'open' ELSE 'closed' END) STORED,
    PRIMARY KEY (integration, round_id, player_id),
    CONSTRAINT rounds_amounts_check CHECK (refunds BETWEEN 0 AND stakes AND reversals BETWEEN 0 AND wins),
    CONSTRAINT rounds_counts_check CHECK (
        refunds_count BETWEEN 0 AND bets AND reversals_count BETWEEN 0 AND wins_count
    ),
    CONSTRAINT rounds_times_check CHECK (closed_at >= opened_at AND last_activity_at >= opened_at),
    CONSTRAINT rounds_closed_check CHECK ((closed_at IS NULL) = (closed_reason IS NULL))
);

CREATE INDEX rounds_player_id_opened_at_idx ON {schema}.rounds (player_id, opened_at);
CREATE INDEX rounds_opened_at_idx ON {schema}.rounds (opened_at) WHERE closed_at IS NULL;

-- Double entry. A credit is positive, a debit negative. player_id: whose the account is, if a player's.
CREATE TABLE {schema}.journal (
    notification_id bigint NOT NULL,
    line smallint NOT NULL,
    amount bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    account text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    player_id text COLLATE "C",
    PRIMARY KEY (notification_id, line),
    CONSTRAINT journal_amount_check CHECK (amount <> 0),
    CONSTRAINT journal_player_check CHECK ((player_id IS NOT NULL) = starts_with(account, 'player:'))
);

CREATE INDEX journal_recorded_at_idx ON {schema}.journal USING brin (recorded_at);

-- The journal summed by hour (UTC) and account, players together: trial balances at any age.
CREATE TABLE {schema}.account_hours (
    hour timestamptz NOT NULL,
    account text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    debit bigint NOT NULL,
    credit bigint NOT NULL,
    PRIMARY KEY (hour, account, currency),
    CONSTRAINT account_hours_hour_check CHECK (extract(epoch FROM hour)::bigint % 3600 = 0),
    CONSTRAINT account_hours_amounts_check CHECK (debit >= 0 AND credit >= 0)
);

-- By hour (UTC), so that any time zone of whole hours has its days. game '' = the call named none.
-- GGR = bets - refunds - wins + reversals. A reversal counts in full, its shortfall included.
CREATE TABLE {schema}.totals (
    hour timestamptz NOT NULL,
    integration text COLLATE "C" NOT NULL,
    game text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    bet_count bigint NOT NULL,
    bets_real bigint NOT NULL,
    bets_bonus bigint NOT NULL,
    refund_count bigint NOT NULL,
    refunds_real bigint NOT NULL,
    refunds_bonus bigint NOT NULL,
    win_count bigint NOT NULL,
    wins_real bigint NOT NULL,
    wins_bonus bigint NOT NULL,
    reversal_count bigint NOT NULL,
    reversals_real bigint NOT NULL,
    reversals_bonus bigint NOT NULL,
    shortfalls bigint NOT NULL,
    bets bigint NOT NULL GENERATED ALWAYS AS (bets_real + bets_bonus) STORED,
    refunds bigint NOT NULL GENERATED ALWAYS AS (refunds_real + refunds_bonus) STORED,
    wins bigint NOT NULL GENERATED ALWAYS AS (wins_real + wins_bonus) STORED,
    reversals bigint NOT NULL
        GENERATED ALWAYS AS (reversals_real + reversals_bonus + shortfalls) STORED,
    PRIMARY KEY (hour, integration, game, currency),
    CONSTRAINT totals_hour_check CHECK (extract(epoch FROM hour)::bigint % 3600 = 0),
    CONSTRAINT totals_counts_check CHECK (
        bet_count >= 0 AND refund_count >= 0 AND win_count >= 0 AND reversal_count >= 0
    ),
    CONSTRAINT totals_amounts_check CHECK (
        bets_real >= 0 AND bets_bonus >= 0 AND refunds_real >= 0 AND refunds_bonus >= 0
        AND wins_real >= 0 AND wins_bonus >= 0 AND reversals_real >= 0 AND reversals_bonus >= 0
        AND shortfalls >= 0
    )
);

-- What was odd: one row an event and kind.
CREATE TABLE {schema}.exceptions (
    notification_id bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL,
    player_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    integration text COLLATE "C" NOT NULL,
    operation text NOT NULL,
    transaction_id text NOT NULL,
    movement_id text NOT NULL,
    refers_to text,
    round_id text COLLATE "C",
    game text COLLATE "C",
    currency text COLLATE "C" NOT NULL,
    real bigint NOT NULL,
    bonus bigint NOT NULL,
    wire_amount bigint,
    shortfall bigint,
    actor text,
    reason text,
    PRIMARY KEY (notification_id, kind),
    CONSTRAINT exceptions_kind_check CHECK (kind <> ''),
    CONSTRAINT exceptions_amounts_check CHECK (wire_amount >= 0 AND shortfall > 0)
);

CREATE INDEX exceptions_recorded_at_idx ON {schema}.exceptions (recorded_at);

INSERT INTO {schema}.projections (view, tables) VALUES
    ('balances', '{balances}'),
    ('rounds', '{rounds}'),
    ('journal', '{journal,account_hours}'),
    ('totals', '{totals}'),
    ('exceptions', '{exceptions}');

DO $twins$
DECLARE
    viewed name;
    kept name;
BEGIN
    FOR viewed IN SELECT unnest(tables) FROM {schema}.projections LOOP
        EXECUTE format('CREATE TABLE {schema}.%I (LIKE {schema}.%I INCLUDING ALL)',
            viewed || '_rebuild', viewed);
        FOREACH kept IN ARRAY ARRAY[viewed, (viewed || '_rebuild')::name] LOOP
            EXECUTE format('GRANT SELECT ON {schema}.%I TO ledger_app, ledger_reader', kept);
            EXECUTE format('GRANT SELECT, INSERT ON {schema}.%I TO ledger_project', kept);
            IF viewed NOT IN ('journal', 'exceptions') THEN
                EXECUTE format('GRANT UPDATE ON {schema}.%I TO ledger_project', kept);
                -- Room for the next version of a row beside it; LIKE does not copy this.
                EXECUTE format('ALTER TABLE {schema}.%I SET (fillfactor = 80)', kept);
            END IF;
        END LOOP;
    END LOOP;
    FOREACH kept IN ARRAY ARRAY['journal', 'journal_rebuild']::name[] LOOP
        EXECUTE format(
            'CREATE TRIGGER require_balanced_postings AFTER INSERT ON {schema}.%I '
            'REFERENCING NEW TABLE AS added '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger.require_balanced_postings()', kept);
        EXECUTE format(
            'ALTER TABLE {schema}.%I ENABLE ALWAYS TRIGGER require_balanced_postings', kept);
    END LOOP;
END
$twins$;

GRANT USAGE ON SCHEMA {schema} TO ledger_project;
GRANT SELECT ON {schema}.events TO ledger_project;
GRANT SELECT ON {schema}.projections TO ledger_app, ledger_reader, ledger_project;
-- Not the tables: the functions below trust them.
GRANT UPDATE (position, stopped_at, error) ON {schema}.projections TO ledger_project;

-- Empties the twins of a view and puts their position to zero.
CREATE FUNCTION {schema}.begin_rebuild(wanted text) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    viewed name;
BEGIN
    FOR viewed IN SELECT unnest(tables) FROM {schema}.projections WHERE view = wanted LOOP
        EXECUTE format('TRUNCATE {schema}.%I', viewed || '_rebuild');
    END LOOP;
    INSERT INTO {schema}.projections (view, tables) VALUES (wanted || '_rebuild', '{}')
    ON CONFLICT (view) DO UPDATE SET position = 0, stopped_at = NULL, error = NULL;
END
$$;

-- Lets a view and its twins change places, and empties what was live.
CREATE FUNCTION {schema}.swap_rebuilt(wanted text) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    viewed name;
    twin name;
BEGIN
    FOR viewed IN SELECT unnest(tables) FROM {schema}.projections WHERE view = wanted LOOP
        twin := viewed || '_rebuild';
        EXECUTE format('LOCK TABLE {schema}.%I, {schema}.%I IN ACCESS EXCLUSIVE MODE', viewed, twin);
        EXECUTE format('TRUNCATE {schema}.%I', viewed);
        PERFORM {schema}.rename_relations(viewed, 'swap');
        PERFORM {schema}.rename_relations(twin, viewed);
        PERFORM {schema}.rename_relations('swap', twin);
    END LOOP;
    UPDATE {schema}.projections AS live
    SET position = rebuilt.position, stopped_at = NULL, error = NULL
    FROM {schema}.projections AS rebuilt
    WHERE live.view = wanted AND rebuilt.view = wanted || '_rebuild';
    DELETE FROM {schema}.projections WHERE view = wanted || '_rebuild';
END
$$;

-- Renames a table and its indexes, whose names begin with the table's: a later migration that
-- names one must find it where it belongs. Called by swap_rebuilt alone.
CREATE FUNCTION {schema}.rename_relations(was name, becomes name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    renamed record;
BEGIN
    FOR renamed IN
        SELECT index.relname AS name
        FROM pg_catalog.pg_index
        JOIN pg_catalog.pg_class AS index ON index.oid = pg_index.indexrelid
        WHERE pg_index.indrelid = to_regclass(format('{schema}.%I', was))
        ORDER BY index.oid
    LOOP
        EXECUTE format('ALTER INDEX {schema}.%I RENAME TO %I',
            renamed.name, becomes || substr(renamed.name, length(was) + 1));
    END LOOP;
    EXECUTE format('ALTER TABLE {schema}.%I RENAME TO %I', was, becomes);
END
$$;

REVOKE ALL ON FUNCTION
    {schema}.begin_rebuild(text), {schema}.swap_rebuilt(text), {schema}.rename_relations(name, name)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {schema}.begin_rebuild(text), {schema}.swap_rebuilt(text)
    TO ledger_project;
