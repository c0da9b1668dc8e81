-- Who blocked a player, changed limits, switched a game: few among all events, and listed by report.

SET LOCAL ROLE ledger_owner;

CREATE INDEX events_switches_idx ON {schema}.events (notification_id)
WHERE topic IN (
    'game_disabled.v1', 'game_enabled.v1', 'limits_set.v1', 'player_blocked.v1', 'player_unblocked.v1'
);
