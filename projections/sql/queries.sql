-- Every statement of the projections, by name; read by projections/sql.
-- {schema} is a partition's schema, {suffix} is empty or _rebuild.

-- name: head
SELECT coalesce(max(notification_id), 0) FROM {schema}.events

-- name: notifications
SELECT notification_id, originator_id, originator_version, topic, state
FROM {schema}.events
WHERE notification_id > %s AND notification_id <= %s
ORDER BY notification_id LIMIT %s

-- name: listen
LISTEN {schema}_events

-- name: try_lock
-- Held by the session; the name is hashed, a collision would only make two views take turns.
SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(%s, 0))

-- name: unlock
SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended(%s, 0))

-- name: position
SELECT position FROM {schema}.projections WHERE view = %s

-- name: place
-- Of one instant: the log may have grown by the next statement.
SELECT position, error, (SELECT coalesce(max(notification_id), 0) FROM {schema}.events) AS head
FROM {schema}.projections WHERE view = %s

-- name: hold_position
SELECT position FROM {schema}.projections WHERE view = %s FOR UPDATE

-- name: advance
-- Touches no row if somebody else moved the view meanwhile.
UPDATE {schema}.projections SET position = %s, stopped_at = NULL, error = NULL
WHERE view = %s AND position = %s

-- name: stop
UPDATE {schema}.projections SET stopped_at = now(), error = %s
WHERE view = %s AND position = %s

-- name: statuses
SELECT
    view, position, stopped_at, error,
    (SELECT coalesce(max(notification_id), 0) FROM {schema}.events) AS head,
    (
        SELECT state FROM {schema}.events
        WHERE notification_id > projections.position ORDER BY notification_id LIMIT 1
    ) AS oldest
FROM {schema}.projections WHERE tables <> '{}' ORDER BY view

-- name: open_balances
INSERT INTO {schema}.balances{suffix}
    (player_id, currency, real, bonus, held, version, updated_at)
SELECT * FROM unnest(
    %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::timestamptz[]
)

-- name: move_balances
-- Only a wallet that stood where the events say is moved to where they say.
UPDATE {schema}.balances{suffix} AS balances
SET real = moved.real, bonus = moved.bonus, held = balances.held + moved.held,
    version = moved.version, updated_at = moved.updated_at
FROM unnest(
    %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::timestamptz[], %s::bigint[], %s::bigint[]
) AS moved (
    player_id, currency, real, bonus, held, version, updated_at, real_change, bonus_change
)
WHERE balances.player_id = moved.player_id AND balances.currency = moved.currency
    AND balances.real + moved.real_change = moved.real
    AND balances.bonus + moved.bonus_change = moved.bonus
    AND balances.version < moved.version

-- name: copy_rounds
COPY {schema}.rounds{suffix} (
    opened_at, last_activity_at,
    bets, stakes, refunds_count, refunds, wins_count, wins, reversals_count, reversals,
    closed_at, closed_reason, integration, round_id, player_id, game, currency
) FROM STDIN (FORMAT BINARY)

-- name: move_rounds
-- A round that was closed stays closed, as it was the first time.
UPDATE {schema}.rounds{suffix} AS rounds
SET last_activity_at = moved.last_activity_at,
    closed_at = CASE
        WHEN rounds.closed_at IS NULL AND moved.closed_reason IS NOT NULL THEN moved.closed_at
        ELSE rounds.closed_at
    END,
    closed_reason = coalesce(rounds.closed_reason, moved.closed_reason),
    bets = rounds.bets + moved.bets,
    stakes = rounds.stakes + moved.stakes,
    refunds_count = rounds.refunds_count + moved.refunds_count,
    refunds = rounds.refunds + moved.refunds,
    wins_count = rounds.wins_count + moved.wins_count,
    wins = rounds.wins + moved.wins,
    reversals_count = rounds.reversals_count + moved.reversals_count,
    reversals = rounds.reversals + moved.reversals
FROM unnest(
    %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[],
    %s::timestamptz[], %s::text[],
    %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]
) AS moved (
    player_id, integration, round_id, game, currency, last_activity_at, closed_at, closed_reason,
    bets, stakes, refunds_count, refunds, wins_count, wins, reversals_count, reversals
)
WHERE rounds.player_id = moved.player_id AND rounds.integration = moved.integration
    AND rounds.round_id = moved.round_id AND rounds.currency = moved.currency

-- name: copy_journal
COPY {schema}.journal{suffix} (
    notification_id, line, amount, recorded_at, account, currency, player_id
) FROM STDIN (FORMAT BINARY)

-- name: add_account_hours
INSERT INTO {schema}.account_hours{suffix} AS kept (hour, account, currency, debit, credit)
SELECT * FROM unnest(
    %s::timestamptz[], %s::text[], %s::text[], %s::text[]::numeric[], %s::text[]::numeric[]
)
ON CONFLICT (hour, account, currency) DO UPDATE
SET debit = kept.debit + excluded.debit, credit = kept.credit + excluded.credit

-- name: add_totals
INSERT INTO {schema}.totals{suffix} AS kept (
    hour, integration, game, currency,
    bet_count, bets_real, bets_bonus, refund_count, refunds_real, refunds_bonus,
    win_count, wins_real, wins_bonus, reversal_count, reversals_real, reversals_bonus, shortfalls
)
SELECT * FROM unnest(
    %s::timestamptz[], %s::text[], %s::text[], %s::text[],
    %s::bigint[], %s::text[]::numeric[], %s::text[]::numeric[],
    %s::bigint[], %s::text[]::numeric[], %s::text[]::numeric[],
    %s::bigint[], %s::text[]::numeric[], %s::text[]::numeric[],
    %s::bigint[], %s::text[]::numeric[], %s::text[]::numeric[],
    %s::text[]::numeric[]
)
ON CONFLICT (hour, integration, game, currency) DO UPDATE SET
    bet_count = kept.bet_count + excluded.bet_count,
    bets_real = kept.bets_real + excluded.bets_real,
    bets_bonus = kept.bets_bonus + excluded.bets_bonus,
    refund_count = kept.refund_count + excluded.refund_count,
    refunds_real = kept.refunds_real + excluded.refunds_real,
    refunds_bonus = kept.refunds_bonus + excluded.refunds_bonus,
    win_count = kept.win_count + excluded.win_count,
    wins_real = kept.wins_real + excluded.wins_real,
    wins_bonus = kept.wins_bonus + excluded.wins_bonus,
    reversal_count = kept.reversal_count + excluded.reversal_count,
    reversals_real = kept.reversals_real + excluded.reversals_real,
    reversals_bonus = kept.reversals_bonus + excluded.reversals_bonus,
    shortfalls = kept.shortfalls + excluded.shortfalls

-- name: add_exceptions
INSERT INTO {schema}.exceptions{suffix} (
    notification_id, kind, recorded_at, player_id, version, name, integration, operation,
    transaction_id, movement_id, refers_to, round_id, game, currency, real, bonus,
    wire_amount, shortfall, actor, reason
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: begin_rebuild
SELECT {schema}.begin_rebuild(%s)

-- name: swap_rebuilt
SELECT {schema}.swap_rebuilt(%s)

-- name: primary_key
SELECT array_agg(attname::text ORDER BY array_position(indkey::int2[], attnum))
FROM pg_catalog.pg_index JOIN pg_catalog.pg_attribute ON attrelid = indrelid
WHERE indrelid = %s::regclass AND indisprimary AND attnum = ANY(indkey)

-- name: unequal_rows
-- Of the fresh fold and of the view, as JSON, by primary key; and how many there are.
SELECT to_jsonb(fresh), to_jsonb(live), count(*) OVER ()
FROM {schema}.{table}_rebuild AS fresh FULL JOIN {schema}.{table} AS live USING ({key})
WHERE fresh IS DISTINCT FROM live
ORDER BY {key} LIMIT %s
