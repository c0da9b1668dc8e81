-- Every statement of the store, the schema and the call journal, by name; read by ledger/sql.
-- {schema} is a partition's schema.

-- name: append
-- Fails, by the name of a setting that does not exist, where its commit would not be waited for:
-- a pooler or a reload may have changed what the connection was given.
-- What comes later than its last parameter says does nothing: its callers were told that it failed.
-- The second column is the server's clock: microseconds since 1970, as that parameter.
SELECT CASE WHEN pg_catalog.current_setting('synchronous_commit') IN ('off', 'local')
THEN pg_catalog.current_setting('wallet_ledger.synchronous_commit_was_lowered')
WHEN (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint > $29::bigint
THEN 'late'
ELSE {schema}.append(
    $1::text[], $2::bigint[],
    $3::text[], $4::text[],
    $5::text[], $6::text[], $7::text[],
    $8::text[], $9::bigint[], $10::text[], $11::bytea[],
    $12::text[], $13::text[], $14::text[], $15::bigint[], $16::text[], $17::bytea[],
    $18::text[], $19::text[], $20::boolean[], $21::timestamptz[],
    $22::bytea[], $23::text[], $24::text[], $25::text[], $26::text[], $27::bytea[],
    $28::timestamptz[]
) END, (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint

-- name: load
-- A stream's snapshot (topic is null), then its events from the snapshot's version on.
SELECT wanted.stream, snapshots.version, NULL AS topic, snapshots.state
FROM unnest(%s::text[]) AS wanted (stream)
JOIN {schema}.snapshots ON snapshots.stream = wanted.stream
UNION ALL
SELECT wanted.stream, events.originator_version, events.topic, events.state
FROM unnest(%s::text[]) AS wanted (stream)
LEFT JOIN {schema}.snapshots ON snapshots.stream = wanted.stream
CROSS JOIN LATERAL (
    SELECT originator_version, topic, state FROM {schema}.events
    WHERE originator_id = wanted.stream AND originator_version >= coalesce(snapshots.version, 1)
    ORDER BY originator_version
    OFFSET 0
) AS events
ORDER BY 1, 2, 3 NULLS FIRST

-- name: transactions
SELECT
    used.integration, used.key, used.player_id, used.version, used.kind, used.fingerprint,
    used.refers_to, used.round_id, used.closes_round, used.recorded_at,
    events.originator_id, events.originator_version, events.topic, events.state
FROM unnest(%s::text[], %s::text[]) AS wanted (integration, key)
CROSS JOIN LATERAL (
    SELECT * FROM {schema}.transactions
    WHERE integration = wanted.integration AND key = wanted.key
    OFFSET 0
) AS used
JOIN {schema}.events ON events.originator_id = 'player:' || used.player_id
    AND events.originator_version = used.version

-- name: referring
-- The transactions that name another one: what became of a bet.
SELECT
    used.integration, used.key, used.player_id, used.version, used.kind, used.fingerprint,
    used.refers_to, used.round_id, used.closes_round, used.recorded_at,
    events.originator_id, events.originator_version, events.topic, events.state
FROM unnest(%s::text[], %s::text[]) AS wanted (integration, key)
CROSS JOIN LATERAL (
    SELECT * FROM {schema}.transactions
    WHERE integration = wanted.integration AND refers_to = wanted.key
    OFFSET 0
) AS used
JOIN {schema}.events ON events.originator_id = 'player:' || used.player_id
    AND events.originator_version = used.version
ORDER BY events.notification_id

-- name: rounds
SELECT
    used.integration, used.key, used.player_id, used.version, used.kind, used.fingerprint,
    used.refers_to, used.round_id, used.closes_round, used.recorded_at,
    events.originator_id, events.originator_version, events.topic, events.state
FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (player_id, integration, round_id)
CROSS JOIN LATERAL (
    SELECT * FROM {schema}.transactions
    WHERE player_id = wanted.player_id AND integration = wanted.integration
        AND round_id = wanted.round_id
    OFFSET 0
) AS used
JOIN {schema}.events ON events.originator_id = 'player:' || used.player_id
    AND events.originator_version = used.version
ORDER BY used.player_id, used.version, used.key

-- name: sessions
SELECT token_hash, player_id, integration, game, currency, parent_hash, opened_at
FROM {schema}.sessions WHERE token_hash = ANY (%s::bytea[])

-- name: events
SELECT originator_id, originator_version, topic, state
FROM {schema}.events
WHERE originator_id = %s AND originator_version > %s
ORDER BY originator_version LIMIT %s

-- name: heads
SELECT wanted.stream, coalesce((
    SELECT max(events.originator_version) FROM {schema}.events
    WHERE events.originator_id = wanted.stream
), 0)
FROM unnest(%s::text[]) AS wanted (stream)

-- name: save_snapshots
SELECT {schema}.save_snapshots(%s::text[], %s::bigint[], %s::bytea[])

-- name: notify
NOTIFY {schema}_events

-- name: ping
SELECT 1

-- name: ensure_calls_partition
SELECT ledger.create_calls_day(%s::date)

-- name: insert_calls
INSERT INTO ledger.calls (
    received_at, integration, operation, method, path, query, body, status, answer, outcome,
    player_id, transaction_id, duration_us, remote, key_id, trace_id, id
)
OVERRIDING SYSTEM VALUE
SELECT * FROM unnest(
    $1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[],
    $8::bigint[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[],
    $15::text[], $16::text[], $17::bigint[]
)

-- name: calls_of_transaction
SELECT
    id, received_at, integration, operation, method, path, query, body, status, answer, outcome,
    player_id, transaction_id, duration_us, remote, key_id, worker, trace_id, found
FROM (
    SELECT *, row_number() OVER (ORDER BY received_at, id) AS place, count(*) OVER () AS found
    FROM ledger.calls WHERE integration = %(integration)s AND transaction_id = %(transaction_id)s
) AS numbered
WHERE place <= %(each_end)s OR place > found - %(each_end)s
ORDER BY place

-- name: calls_of_player
-- Those that name the player, received from one moment to before another, and those that carried one
-- of the ids.
SELECT
    received_at, integration, operation, method, path, query, body, status, answer, outcome,
    player_id, transaction_id, duration_us, remote, key_id, trace_id
FROM ledger.calls
WHERE player_id = %(player_id)s AND received_at >= %(begin)s AND received_at < %(end)s
UNION
SELECT
    received_at, integration, operation, method, path, query, body, status, answer, outcome,
    player_id, transaction_id, duration_us, remote, key_id, trace_id
FROM unnest(%(integrations)s::text[], %(transaction_ids)s::text[])
    AS wanted (integration, transaction_id)
JOIN ledger.calls USING (integration, transaction_id)
WHERE coalesce(player_id, %(player_id)s) = %(player_id)s
ORDER BY received_at, trace_id

-- name: lock_migrations
SELECT pg_catalog.pg_try_advisory_lock(8350120260)

-- name: applied_migrations
SELECT number, name, checksum FROM ledger.migrations ORDER BY number

-- name: has_migrations
SELECT pg_catalog.to_regclass('ledger.migrations') IS NOT NULL

-- name: has_schema
-- Unlike has_migrations for a login that may not look into it, too.
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'ledger')

-- name: missing_roles
-- Which of the ledger's roles the login may not work in, and the login. The mode SET exists from
-- PostgreSQL 16 on, where membership alone no longer allows SET ROLE.
SELECT quote_ident(current_user), coalesce(array_agg(rolname::text ORDER BY rolname), '{}')
FROM pg_catalog.pg_roles
WHERE rolname IN ('ledger_app', 'ledger_project', 'ledger_seal') AND NOT pg_has_role(current_user, oid, CASE
    WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER'
END)

-- name: record_migration
INSERT INTO ledger.migrations (number, name, checksum) VALUES (%s, %s, %s)

-- name: partitions
SELECT partitions FROM ledger.settings

-- name: record_partitions
INSERT INTO ledger.settings (partitions) VALUES (%s) ON CONFLICT DO NOTHING

-- name: record_scales
INSERT INTO ledger.currency_scales (currency, scale)
SELECT * FROM unnest(%s::text[], %s::integer[])
ON CONFLICT DO NOTHING

-- name: record_exponents
INSERT INTO ledger.currency_exponents (currency, exponent)
SELECT * FROM unnest(%s::text[], %s::integer[])
ON CONFLICT DO NOTHING

-- name: currencies
-- Of a database that was upgraded the exponents are recorded at the next start.
SELECT currency, scale, exponent
FROM ledger.currency_scales LEFT JOIN ledger.currency_exponents USING (currency)
ORDER BY currency

-- name: durability
SELECT name, setting FROM pg_catalog.pg_settings
WHERE name IN (
    'fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names'
)

-- name: keep_synchronous_commit
-- local is on where there is no standby, and must become it where one is added. remote_write is
-- left to the server's settings: the connection must follow where it is raised.
SELECT pg_catalog.set_config(
    'synchronous_commit',
    CASE wanted WHEN 'local' THEN 'on' ELSE wanted END,
    false
)
FROM (SELECT pg_catalog.current_setting('synchronous_commit') AS wanted) AS now
WHERE wanted <> 'remote_write'

-- name: server
-- No two servers have started in the same microsecond; a standby has a start of its own.
SELECT pg_catalog.pg_postmaster_start_time()::text

-- name: server_process
-- The process that serves this connection, and the server's clock as `append` has it.
SELECT pid, backend_start::text, (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint
FROM pg_catalog.pg_stat_activity
WHERE pid = pg_catalog.pg_backend_pid()

-- name: end_process
-- Ends the process of another connection; true once it is gone. One that waits for a standby has
-- committed, and holds the turn of whoever appends next: its wait is not to be cut short.
SELECT pg_catalog.pg_terminate_backend(pid, 2000)
FROM pg_catalog.pg_stat_activity
WHERE pid = %s AND backend_start::text = %s AND pid <> pg_catalog.pg_backend_pid()
AND wait_event IS DISTINCT FROM 'SyncRep'

-- name: idle_rounds
-- Open rounds without activity since a time.
SELECT player_id, integration, round_id
FROM {schema}.transactions
WHERE round_id IS NOT NULL
GROUP BY player_id, integration, round_id
HAVING NOT bool_or(closes_round) AND max(recorded_at) < %s
ORDER BY max(recorded_at)

-- The audit reads a partition whole, in shares, in the order of its streams. A time that no clock
-- shows, as a forged row may have it, is null.

-- name: audit_events
SELECT notification_id, originator_id, originator_version, topic, state
FROM {schema}.events
WHERE abs(pg_catalog.hashtext(originator_id) %% %(shares)s) = %(number)s
ORDER BY originator_id, originator_version

-- name: audit_transactions
SELECT
    integration, key, player_id, version, kind, fingerprint, refers_to, round_id, closes_round,
    CASE WHEN recorded_at BETWEEN '0002-01-01' AND '9998-12-31' THEN recorded_at END AS recorded_at
FROM {schema}.transactions
WHERE abs(pg_catalog.hashtext('player:' || player_id) %% %(shares)s) = %(number)s
ORDER BY player_id, version, integration, key

-- name: audit_sessions
SELECT
    token_hash, player_id, integration, game, currency, parent_hash,
    CASE WHEN opened_at BETWEEN '0002-01-01' AND '9998-12-31' THEN opened_at END AS opened_at
FROM {schema}.sessions
WHERE abs(pg_catalog.hashtext('player:' || player_id) %% %(shares)s) = %(number)s
ORDER BY player_id, token_hash

-- name: audit_snapshots
SELECT stream, version, state
FROM {schema}.snapshots
WHERE abs(pg_catalog.hashtext(stream) %% %(shares)s) = %(number)s
ORDER BY stream

-- name: audit_rounds
SELECT
    used.player_id, used.integration, used.round_id,
    events.notification_id, events.originator_id, events.originator_version, events.topic,
    events.state
FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (player_id, integration, round_id)
CROSS JOIN LATERAL (
    SELECT * FROM {schema}.transactions
    WHERE player_id = wanted.player_id AND integration = wanted.integration
        AND round_id = wanted.round_id
    OFFSET 0
) AS used
JOIN {schema}.events ON events.originator_id = 'player:' || used.player_id
    AND events.originator_version = used.version
ORDER BY used.player_id, used.version

-- name: audit_originals
-- The events that used these keys, and how many have reversed each.
SELECT
    used.integration, used.key,
    events.originator_id, events.originator_version, events.topic, events.state,
    (
        SELECT count(*) FROM {schema}.transactions AS reversals
        WHERE reversals.integration = used.integration AND reversals.refers_to = used.key
            AND reversals.kind IN ('bet_refunded.v1', 'win_reversed.v1')
    )
FROM unnest(%s::text[], %s::text[]) AS wanted (integration, key)
CROSS JOIN LATERAL (
    SELECT * FROM {schema}.transactions
    WHERE integration = wanted.integration AND key = wanted.key
    OFFSET 0
) AS used
JOIN {schema}.events ON events.originator_id = 'player:' || used.player_id
    AND events.originator_version = used.version

-- name: audit_seals
SELECT
    number, through_id, events, root, previous,
    CASE WHEN sealed_at BETWEEN '0002-01-01' AND '9998-12-31' THEN sealed_at END AS sealed_at,
    key_id, signature
FROM {schema}.seals
ORDER BY number

-- name: audit_hashes
-- As `hashes`.
SELECT notification_id, coalesce(substring(state FROM 1 FOR 32), '')
FROM {schema}.events
WHERE notification_id <= %s
ORDER BY notification_id

-- name: sealed_through
-- The last event that a seal covers.
SELECT coalesce(max(through_id), 0) FROM {schema}.seals

-- name: unsealed
-- How many events are behind an id.
SELECT count(*) FROM {schema}.events WHERE notification_id > %s

-- name: seals_from
-- The seals from a number on. A time that no clock shows is null, as for the audit.
SELECT
    number, through_id, events, root, previous,
    CASE WHEN sealed_at BETWEEN '0002-01-01' AND '9998-12-31' THEN sealed_at END AS sealed_at,
    key_id, signature
FROM {schema}.seals
WHERE number >= %s ORDER BY number LIMIT %s

-- name: newest_seal
SELECT
    number, through_id, events, root, previous,
    CASE WHEN sealed_at BETWEEN '0002-01-01' AND '9998-12-31' THEN sealed_at END AS sealed_at,
    key_id, signature
FROM {schema}.seals
ORDER BY number DESC LIMIT 1

-- name: hashes
-- The next events behind an id, by their hashes; that of a state that somebody took away is empty.
SELECT notification_id, coalesce(substring(state FROM 1 FOR 32), '')
FROM {schema}.events
WHERE notification_id > %s ORDER BY notification_id LIMIT %s

-- name: stretch
-- A stretch of a stream.
SELECT notification_id, originator_version, topic, state
FROM {schema}.events
WHERE originator_id = %s AND originator_version BETWEEN %s AND %s
ORDER BY originator_version

-- name: covering_seal
-- The seal that covers an event, and the last event that those before it cover.
SELECT
    number, through_id, events, root, previous,
    CASE WHEN sealed_at BETWEEN '0002-01-01' AND '9998-12-31' THEN sealed_at END AS sealed_at,
    key_id, signature,
    (
        SELECT coalesce(max(before.through_id), 0) FROM {schema}.seals AS before
        WHERE before.through_id < seals.through_id
    )
FROM {schema}.seals
WHERE through_id >= %s ORDER BY through_id LIMIT 1

-- name: covered_hashes
-- As `hashes`.
SELECT notification_id, coalesce(substring(state FROM 1 FOR 32), '')
FROM {schema}.events
WHERE notification_id > %s AND notification_id <= %s
ORDER BY notification_id

-- name: add_seal
-- No row where another sealer was first.
INSERT INTO {schema}.seals
    (number, through_id, events, root, previous, sealed_at, key_id, signature)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
RETURNING number

-- name: commit_nothing
-- Waits, with its commit, until all that was seen before is as safe as it.
SELECT pg_catalog.pg_logical_emit_message(true, 'wallet-ledger', '')

-- name: last_event
SELECT coalesce(max(notification_id), 0) FROM {schema}.events

-- name: seal_status
SELECT
    sealed.number, sealed.through_id, sealed.sealed_at,
    (SELECT coalesce(max(notification_id), 0) FROM {schema}.events) AS head,
    (
        SELECT state FROM {schema}.events
        WHERE notification_id > coalesce(sealed.through_id, 0)
        ORDER BY notification_id LIMIT 1
    ) AS oldest
FROM (VALUES (1)) AS always
LEFT JOIN (
    SELECT number, through_id, CASE WHEN sealed_at BETWEEN '0002-01-01' AND '9998-12-31' THEN sealed_at END AS sealed_at
    FROM {schema}.seals ORDER BY number DESC LIMIT 1
) AS sealed ON true

-- name: begin_reconciliation
INSERT INTO ledger.reconciliations (
    id, begun_by, integration, begins, ends, time_zone, edge_s, statement_sha256, statement_bytes
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: finish_reconciliation
-- No row where it was given up meanwhile, or is overdue: it was told of as failed.
INSERT INTO ledger.reconciliation_results (id, outcome, error)
SELECT id, %s::json, %s FROM ledger.reconciliations
WHERE id = %s AND now() <= begun_at + make_interval(secs => %s)
ON CONFLICT DO NOTHING
RETURNING id

-- name: add_differences
INSERT INTO ledger.reconciliation_differences (id, number, kind, content)
SELECT %s, * FROM unnest(%s::bigint[], %s::text[], %s::json[])

-- name: reconciliation
-- overdue: what was to finish it is gone.
SELECT
    begun.id, begun.begun_at, begun.begun_by, begun.integration, begun.begins, begun.ends, begun.time_zone,
    begun.edge_s, begun.statement_sha256, begun.statement_bytes,
    results.finished_at, results.outcome::text, results.error,
    now() > begun.begun_at + make_interval(secs => %s) AS overdue
FROM ledger.reconciliations AS begun
LEFT JOIN ledger.reconciliation_results AS results USING (id)
WHERE begun.id = %s

-- name: reconciliations
-- The newest first: ids begin with the time.
SELECT
    begun.id, begun.begun_at, begun.begun_by, begun.integration, begun.begins, begun.ends,
    begun.time_zone, begun.edge_s, begun.statement_sha256, begun.statement_bytes,
    results.finished_at, results.outcome::text, results.error,
    now() > begun.begun_at + make_interval(secs => %(overdue_s)s) AS overdue
FROM ledger.reconciliations AS begun
LEFT JOIN ledger.reconciliation_results AS results USING (id)
WHERE (%(integration)s::text IS NULL OR begun.integration = %(integration)s)
    AND (%(after)s::text IS NULL OR begun.id < %(after)s)
ORDER BY begun.id DESC LIMIT %(limit)s

-- name: reconciliation_differences
SELECT number, content::text FROM ledger.reconciliation_differences
WHERE id = %s AND number > %s ORDER BY number LIMIT %s

-- name: guards
-- What keeps a schema's tables from being changed, a line each: owners, keys, checks, triggers,
-- functions, and rights but those to read. Bodies are hashed without the schema's name.
WITH own AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s
), tables AS (
    SELECT pg_class.* FROM pg_catalog.pg_class
    WHERE relnamespace = (SELECT oid FROM own) AND relname = ANY (%(tables)s::name[])
), functions AS (
    SELECT
        pg_proc.*,
        format('function %%s(%%s)', proname, pg_get_function_identity_arguments(pg_proc.oid)) AS told
    FROM pg_catalog.pg_proc WHERE pronamespace = (SELECT oid FROM own)
), grants AS (
    SELECT 'schema' AS told, nspowner AS owner, coalesce(nspacl, acldefault('n', nspowner)) AS acl
    FROM own
    UNION ALL
    SELECT format('table %%s', relname), relowner, coalesce(relacl, acldefault('r', relowner))
    FROM tables
    UNION ALL
    SELECT format('table %%s column %%s', relname, attname), relowner, attacl
    FROM tables JOIN pg_catalog.pg_attribute ON attrelid = tables.oid AND attacl IS NOT NULL
    UNION ALL
    SELECT told, proowner, coalesce(proacl, acldefault('f', proowner)) FROM functions
)
SELECT line FROM (
    SELECT format('schema: owner %%s', nspowner::regrole) FROM own
    UNION ALL
    SELECT format('table %%s: owner %%s', relname, relowner::regrole) FROM tables
    UNION ALL
    SELECT format('table %%s: row security', relname) FROM tables WHERE relrowsecurity
    UNION ALL
    SELECT format('table %%s: rule %%s', relname, rulename)
    FROM tables JOIN pg_catalog.pg_rewrite ON ev_class = tables.oid
    UNION ALL
    SELECT format(
        'table %%s: column %%s %%s%%s', relname, attname, format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN ', not null' ELSE '' END
    )
    FROM tables JOIN pg_catalog.pg_attribute ON attrelid = tables.oid
    WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('table %%s: unique (%%s)', relname, (
        SELECT string_agg(attname, ', ' ORDER BY place)
        FROM unnest(indkey::smallint[]) WITH ORDINALITY AS part (number, place)
        LEFT JOIN pg_catalog.pg_attribute ON attrelid = tables.oid AND attnum = part.number
    ))
    FROM tables JOIN pg_catalog.pg_index ON indrelid = tables.oid
    WHERE indisunique AND indisvalid AND indisready AND indpred IS NULL AND indexprs IS NULL
    UNION ALL
    SELECT format('table %%s: check %%s', relname, conname)
    FROM tables JOIN pg_catalog.pg_constraint ON conrelid = tables.oid AND contype = 'c'
    WHERE convalidated AND pg_get_constraintdef(pg_constraint.oid) NOT LIKE '%%NOT ENFORCED%%'
    UNION ALL
    SELECT format(
        'table %%s: trigger %%s, type %%s, %%s%%s, calls %%s', relname, tgname, tgtype,
        CASE tgenabled
            WHEN 'A' THEN 'always' WHEN 'O' THEN 'unless replicated' WHEN 'R' THEN 'if replicated'
            ELSE 'switched off'
        END,
        CASE WHEN tgqual IS NULL THEN '' ELSE ', sometimes' END, tgfoid::regproc
    )
    FROM tables JOIN pg_catalog.pg_trigger ON tgrelid = tables.oid
    WHERE NOT tgisinternal
    UNION ALL
    SELECT format(
        '%%s: owner %%s, %%s, %%s, body %%s', told, proowner::regrole,
        CASE WHEN prosecdef THEN 'owner''s rights' ELSE 'caller''s rights' END,
        coalesce(array_to_string(proconfig, ' '), 'no settings'),
        encode(sha256(convert_to(replace(prosrc, (SELECT nspname FROM own), '<schema>'), 'UTF8')), 'hex')
    )
    FROM functions
    UNION ALL
    SELECT format(
        '%%s: granted to %%s: %%s', told,
        CASE given.grantee WHEN 0 THEN 'everybody' ELSE given.grantee::regrole::text END,
        string_agg(
            given.privilege_type || CASE WHEN given.is_grantable THEN ' to pass on' ELSE '' END,
            ', ' ORDER BY given.privilege_type
        )
    )
    FROM grants CROSS JOIN LATERAL aclexplode(acl) AS given
    WHERE given.grantee <> owner AND given.privilege_type NOT IN ('SELECT', 'USAGE')
    GROUP BY told, given.grantee
) AS told (line)
ORDER BY line

-- name: role_guards
-- What the ledger's roles may do beyond what they were granted, a line each.
SELECT line FROM (
    SELECT format('role %%s: %%s', rolname, concat_ws(', ',
        'there',
        CASE WHEN rolcanlogin THEN 'logs in' END,
        CASE WHEN rolsuper THEN 'superuser' END,
        CASE WHEN rolcreaterole THEN 'makes roles' END,
        CASE WHEN rolcreatedb THEN 'makes databases' END,
        CASE WHEN rolreplication THEN 'replicates' END,
        CASE WHEN rolbypassrls THEN 'bypasses row security' END
    ))
    FROM pg_catalog.pg_roles WHERE rolname = ANY (%(roles)s::name[])
    UNION ALL
    SELECT format('role %%s: member of %%s', member::regrole, roleid::regrole)
    FROM pg_catalog.pg_auth_members
    WHERE member IN (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ANY (%(roles)s::name[]))
) AS told (line)
ORDER BY line
