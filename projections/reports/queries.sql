-- Every statement of the reports, by name; read by projections/reports/queries.py.
-- {schema} is a partition's schema. All of them only read.

-- name: head
SELECT coalesce(max(notification_id), 0) FROM {schema}.events

-- name: append_turn
SELECT '{schema}.append_turn'::regclass::oid

-- name: appends_under_way
-- Who began by then and holds the appends' turn, or waits for it, by transaction. It is let go of
-- when all can see what was booked. Whose beginning we may not know may have begun by then.
SELECT held.virtualtransaction
FROM pg_catalog.pg_locks AS held LEFT JOIN pg_catalog.pg_stat_activity AS process USING (pid)
WHERE held.locktype = 'relation' AND held.mode = 'ExclusiveLock'
    AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND held.relation = %s AND coalesce(process.xact_start <= %s, true)

-- name: states
-- Of one instant: the log grows, and no view may stand behind its end.
SELECT view, position, (SELECT coalesce(max(notification_id), 0) FROM {schema}.events) AS head, error
FROM {schema}.projections WHERE view = ANY(%s::text[]) ORDER BY view

-- name: hours
SELECT min(hour), max(hour) FROM {schema}.totals

-- name: totals
-- By hour, each hour under the number of its day; hours that days share are left out.
SELECT
    width_bucket(hour, %(starts)s::timestamptz[]) - 1 AS day, integration, game, currency,
    sum(bet_count), sum(bets), sum(bets_bonus), sum(refund_count), sum(refunds), sum(refunds_bonus),
    sum(win_count), sum(wins), sum(wins_bonus), sum(reversal_count), sum(reversals),
    sum(reversals_bonus), sum(shortfalls)
FROM {schema}.totals
WHERE hour >= %(begins)s AND hour < %(ends)s AND hour <> ALL(%(shared)s::timestamptz[])
    AND (%(integration)s::text IS NULL OR integration = %(integration)s)
    AND (%(game)s::text IS NULL OR game = %(game)s)
    AND (%(currency)s::text IS NULL OR currency = %(currency)s)
GROUP BY 1, 2, 3, 4

-- name: movements
SELECT booked.recorded_at, booked.player_id, booked.version, events.topic, events.state
FROM {schema}.transactions AS booked
JOIN {schema}.events ON events.originator_id = 'player:' || booked.player_id
    AND events.originator_version = booked.version
WHERE (%(begins)s::timestamptz IS NULL OR booked.recorded_at >= %(begins)s)
    AND booked.recorded_at < %(ends)s AND booked.kind = ANY(%(types)s::text[])
    AND (%(integration)s::text IS NULL OR booked.integration = %(integration)s)
    AND (%(player_id)s::text IS NULL OR booked.player_id = %(player_id)s)

-- name: switches
-- All of them: their time is in no table.
SELECT originator_id, originator_version, topic, state FROM {schema}.events
WHERE topic IN (
        'game_disabled.v1', 'game_enabled.v1', 'limits_set.v1', 'player_blocked.v1',
        'player_unblocked.v1'
    )
    AND topic = ANY(%(types)s::text[]) AND (%(stream)s::text IS NULL OR originator_id = %(stream)s)

-- name: movements_in_hours
-- What was recorded in some hours, as far as the view of totals has seen it.
SELECT events.topic, events.state
FROM {schema}.transactions AS booked
JOIN {schema}.events ON events.originator_id = 'player:' || booked.player_id
    AND events.originator_version = booked.version
WHERE booked.recorded_at >= %(begins)s AND booked.recorded_at < %(ends)s
    AND date_trunc('hour', booked.recorded_at) = ANY(%(hours)s::timestamptz[])
    AND events.topic = ANY(%(topics)s::text[]) AND events.notification_id <= %(position)s

-- name: account_hours
SELECT account, currency, sum(debit), sum(credit)
FROM {schema}.account_hours
WHERE (%(begins)s::timestamptz IS NULL OR hour >= %(begins)s)
    AND (%(ends)s::timestamptz IS NULL OR hour < %(ends)s)
    AND (%(currency)s::text IS NULL OR currency = %(currency)s)
GROUP BY account, currency

-- name: account_postings
SELECT
    account, currency,
    coalesce(-sum(amount) FILTER (WHERE amount < 0), 0),
    coalesce(sum(amount) FILTER (WHERE amount > 0), 0)
FROM {schema}.journal
WHERE recorded_at >= %(begins)s AND recorded_at < %(ends)s
    AND (%(currency)s::text IS NULL OR currency = %(currency)s)
GROUP BY account, currency

-- name: exceptions
SELECT
    recorded_at, kind, player_id, integration, operation, transaction_id, movement_id, refers_to,
    round_id, game, currency, real, bonus, wire_amount, shortfall, actor, reason, version
FROM {schema}.exceptions
WHERE (%(begins)s::timestamptz IS NULL OR recorded_at >= %(begins)s) AND recorded_at < %(ends)s
    AND (%(kind)s::text IS NULL OR kind = %(kind)s)
    AND (%(integration)s::text IS NULL OR integration = %(integration)s)
    AND (%(player_id)s::text IS NULL OR player_id = %(player_id)s)
    AND (%(currency)s::text IS NULL OR currency = %(currency)s)
ORDER BY recorded_at, notification_id, kind LIMIT %(most)s

-- name: accounts
-- What there was at the end is what there is now, less what was posted since. Everything that moved
-- leads from what there was at the beginning to that.
WITH moved AS (
    SELECT
        postings.player_id, postings.currency, sum(amount) AS everything,
        sum(amount) FILTER (WHERE topic = ANY(%(deposits)s::text[])) AS deposits,
        sum(amount) FILTER (WHERE topic = ANY(%(withdrawals)s::text[])) AS withdrawals,
        sum(amount) FILTER (WHERE topic = ANY(%(bonuses)s::text[])) AS bonuses,
        sum(amount) FILTER (WHERE topic = ANY(%(adjustments)s::text[])) AS adjustments,
        sum(amount) FILTER (WHERE topic = ANY(%(stakes)s::text[])) AS stakes,
        sum(amount) FILTER (WHERE topic = ANY(%(refunds)s::text[])) AS refunds,
        sum(amount) FILTER (WHERE topic = ANY(%(wins)s::text[])) AS wins,
        sum(amount) FILTER (WHERE topic = ANY(%(reversals)s::text[])) AS reversals,
        sum(amount) FILTER (WHERE topic = ANY(%(stakes)s::text[]) AND account = 'player:bonus')
            AS bonus_stakes,
        sum(amount) FILTER (WHERE topic = ANY(%(bonuses)s::text[]) AND amount < 0) AS forfeited,
        sum(amount) FILTER (WHERE topic = ANY(%(conversions)s::text[]) AND amount > 0) AS converted
    FROM {schema}.journal AS postings JOIN {schema}.events USING (notification_id)
    WHERE postings.recorded_at >= %(begins)s AND postings.recorded_at < %(ends)s
        AND postings.player_id IS NOT NULL
        AND (%(currency)s::text IS NULL OR postings.currency = %(currency)s)
        AND (%(player_id)s::text IS NULL OR postings.player_id = %(player_id)s)
    GROUP BY 1, 2
), since AS (
    SELECT
        player_id, currency,
        sum(amount) FILTER (WHERE account = 'player:real') AS real,
        sum(amount) FILTER (WHERE account = 'player:bonus') AS bonus,
        sum(amount) FILTER (WHERE account = 'player:held') AS held
    FROM {schema}.journal
    WHERE recorded_at >= %(ends)s AND player_id IS NOT NULL
        AND (%(currency)s::text IS NULL OR currency = %(currency)s)
        AND (%(player_id)s::text IS NULL OR player_id = %(player_id)s)
    GROUP BY 1, 2
), closing AS (
    SELECT
        player_id, currency, balances.real - coalesce(since.real, 0) AS real,
        balances.bonus - coalesce(since.bonus, 0) AS bonus,
        balances.held - coalesce(since.held, 0) AS held
    FROM {schema}.balances LEFT JOIN since USING (player_id, currency)
    WHERE (%(currency)s::text IS NULL OR currency = %(currency)s)
        AND (%(player_id)s::text IS NULL OR player_id = %(player_id)s)
)
SELECT
    player_id, currency, (everything IS NOT NULL)::int,
    real + bonus + held - coalesce(everything, 0), coalesce(deposits, 0), coalesce(withdrawals, 0),
    coalesce(bonuses, 0), coalesce(adjustments, 0), coalesce(stakes, 0), coalesce(refunds, 0),
    coalesce(wins, 0), coalesce(reversals, 0), real + bonus + held,
    coalesce(stakes, 0) + coalesce(refunds, 0) + coalesce(wins, 0) + coalesce(reversals, 0),
    coalesce(bonus_stakes, 0), coalesce(forfeited, 0), coalesce(converted, 0), real, bonus, held
FROM closing LEFT JOIN moved USING (player_id, currency)
WHERE everything IS NOT NULL OR (real, bonus, held) <> (0, 0, 0)
LIMIT %(most)s

-- name: has_kind
SELECT EXISTS (SELECT FROM {schema}.exceptions WHERE kind = %s)

-- name: has_integration
SELECT EXISTS (SELECT FROM {schema}.transactions WHERE integration = %s)

-- name: has_game
SELECT EXISTS (SELECT FROM {schema}.totals WHERE game = %s)

-- name: large_wins
SELECT postings.recorded_at, events.originator_id, events.originator_version, events.topic,
    events.state
FROM {schema}.journal AS postings
JOIN unnest(%(currencies)s::text[], %(thresholds)s::bigint[]) AS large (currency, threshold)
    ON large.currency = postings.currency
JOIN {schema}.events ON events.notification_id = postings.notification_id
WHERE (%(begins)s::timestamptz IS NULL OR postings.recorded_at >= %(begins)s)
    AND postings.recorded_at < %(ends)s
    AND starts_with(postings.account, 'provider:') AND postings.amount <= -large.threshold
    AND events.topic = %(topic)s
    AND (%(player_id)s::text IS NULL OR events.originator_id = 'player:' || %(player_id)s)
    AND (
        %(integration)s::text IS NULL
        OR starts_with(postings.account, 'provider:' || %(integration)s || ':')
    )
ORDER BY postings.recorded_at, postings.notification_id
LIMIT %(most)s

-- name: rounds_open_now
SELECT
    player_id, integration, round_id, game, currency, opened_at, last_activity_at, false AS later,
    bets, stakes, refunds_count, refunds, wins_count, wins, reversals_count, reversals
FROM {schema}.rounds
WHERE closed_at IS NULL
    AND opened_at < %(opened_before)s
    AND (%(integration)s::text IS NULL OR integration = %(integration)s)
    AND (%(game)s::text IS NULL OR game = %(game)s)
    AND (%(currency)s::text IS NULL OR currency = %(currency)s)
    AND (%(player_id)s::text IS NULL OR player_id = %(player_id)s)

-- name: rounds_open_at
-- later: something happened since, so that the sums are not those of then.
SELECT
    player_id, integration, round_id, game, currency, opened_at, last_activity_at,
    last_activity_at >= %(at)s AS later,
    bets, stakes, refunds_count, refunds, wins_count, wins, reversals_count, reversals
FROM {schema}.rounds
WHERE opened_at < %(at)s AND (closed_at IS NULL OR closed_at >= %(at)s)
    AND opened_at < %(opened_before)s
    AND (%(integration)s::text IS NULL OR integration = %(integration)s)
    AND (%(game)s::text IS NULL OR game = %(game)s)
    AND (%(currency)s::text IS NULL OR currency = %(currency)s)
    AND (%(player_id)s::text IS NULL OR player_id = %(player_id)s)

-- name: round_movements
-- As far as the view of rounds has seen them.
SELECT wanted.place - 1, events.topic, events.state
FROM unnest(%(players)s::text[], %(integrations)s::text[], %(rounds)s::text[])
    WITH ORDINALITY AS wanted (player_id, integration, round_id, place)
JOIN {schema}.transactions AS booked ON booked.player_id = wanted.player_id
    AND booked.integration = wanted.integration AND booked.round_id = wanted.round_id
JOIN {schema}.events ON events.originator_id = 'player:' || booked.player_id
    AND events.originator_version = booked.version
WHERE (%(at)s::timestamptz IS NULL OR booked.recorded_at < %(at)s)
    AND events.notification_id <= %(position)s
ORDER BY wanted.place, booked.version

-- name: booked_between
-- What an integration's calls booked in a time. Without its event (topic is null) a key is unsound.
SELECT booked.key, booked.player_id, booked.version, events.topic, events.state
FROM {schema}.transactions AS booked
LEFT JOIN {schema}.events ON events.originator_id = 'player:' || booked.player_id
    AND events.originator_version = booked.version
WHERE booked.integration = %(integration)s
    AND booked.recorded_at >= %(begins)s AND booked.recorded_at < %(ends)s
    AND booked.kind = ANY(%(kinds)s::text[])

-- name: booked_under
-- What an integration's calls booked under some keys, whenever that was.
SELECT booked.key, booked.player_id, booked.version, events.topic, events.state
FROM unnest(%(keys)s::text[]) AS wanted (key)
CROSS JOIN LATERAL (
    SELECT * FROM {schema}.transactions
    WHERE integration = %(integration)s AND key = wanted.key
    OFFSET 0
) AS booked
LEFT JOIN {schema}.events ON events.originator_id = 'player:' || booked.player_id
    AND events.originator_version = booked.version
WHERE booked.kind = ANY(%(kinds)s::text[])

-- name: stream_head
SELECT coalesce(max(originator_version), 0) FROM {schema}.events WHERE originator_id = %s

-- name: stream_event
SELECT topic, state FROM {schema}.events WHERE originator_id = %s AND originator_version = %s

-- name: stream_of_kinds
SELECT topic, state FROM {schema}.events
WHERE originator_id = %s AND originator_version < %s AND topic = ANY(%s::text[])
ORDER BY originator_version

-- name: stream_last_with
-- The last event of these kinds whose stored bytes hold those.
SELECT topic, state FROM {schema}.events
WHERE originator_id = %s AND originator_version < %s AND topic = ANY(%s::text[])
    AND position(%s::bytea IN state) > 0
ORDER BY originator_version DESC LIMIT 1

-- name: stream_between
SELECT originator_version, topic, state FROM {schema}.events
WHERE originator_id = %s AND originator_version >= %s AND originator_version < %s
    AND topic = ANY(%s::text[])
ORDER BY originator_version LIMIT 2000

-- name: rounds
SELECT
    player_id, integration, round_id, game, currency, state, opened_at, closed_at, closed_reason,
    last_activity_at, bets, stakes, refunds_count, refunds, wins_count, wins, reversals_count,
    reversals
FROM {schema}.rounds
WHERE (player_id, integration, round_id) > (%(after_player)s, %(after_integration)s, %(after_round)s)
    AND (%(integration)s::text IS NULL OR integration = %(integration)s)
    AND (%(round_id)s::text IS NULL OR round_id = %(round_id)s)
    AND (%(player_id)s::text IS NULL OR player_id = %(player_id)s)
    AND (%(open)s::boolean IS NULL OR (closed_at IS NULL) = %(open)s)
    AND (%(opened_before)s::timestamptz IS NULL OR opened_at < %(opened_before)s)
ORDER BY player_id, integration, round_id LIMIT %(limit)s

-- name: player_events
-- Every player's events, one player after the other.
SELECT notification_id, originator_id, originator_version, topic, state
FROM {schema}.events
WHERE notification_id <= %(position)s AND starts_with(originator_id, 'player:')
ORDER BY originator_id, originator_version

-- name: balances_between
SELECT player_id, currency, real, bonus, held FROM {schema}.balances
WHERE player_id > %(after)s AND (%(until)s::text IS NULL OR player_id <= %(until)s)

-- name: rounds_between
SELECT
    player_id, integration, round_id, currency, state,
    bets, stakes, refunds_count, refunds, wins_count, wins, reversals_count, reversals
FROM {schema}.rounds
WHERE player_id > %(after)s AND (%(until)s::text IS NULL OR player_id <= %(until)s)

-- name: all_totals
SELECT
    hour, integration, game, currency,
    bet_count, bets, bets_bonus, refund_count, refunds, refunds_bonus, win_count, wins, wins_bonus,
    reversal_count, reversals, reversals_bonus, shortfalls
FROM {schema}.totals

-- name: unbalanced_events
SELECT notification_id, currency, sum(amount) FROM {schema}.journal
GROUP BY notification_id, currency HAVING sum(amount) <> 0
ORDER BY notification_id, currency LIMIT 100

-- name: unequal_hours
-- Sums by hour that are not those of the journal.
SELECT hour, account, currency
FROM (
    SELECT
        date_trunc('hour', recorded_at) AS hour, account, currency,
        coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS debit,
        coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS credit
    FROM {schema}.journal GROUP BY 1, 2, 3
) AS summed
FULL JOIN {schema}.account_hours AS kept USING (hour, account, currency)
WHERE (summed.debit, summed.credit) IS DISTINCT FROM (kept.debit::numeric, kept.credit::numeric)
ORDER BY 1, 2, 3 LIMIT 100
