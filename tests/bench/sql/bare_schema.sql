-- The tables of the bare-SQL yardstick: one unique key a movement, one guarded balance a player.
DROP TABLE IF EXISTS movement, account;

CREATE TABLE account (
    player_id integer PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0),
    version bigint NOT NULL DEFAULT 0
);

CREATE TABLE movement (
    transaction_key text PRIMARY KEY,
    player_id integer NOT NULL,
    amount bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO account (player_id, balance)
SELECT player_id, 1000000000000 FROM generate_series(1, 10000) AS player_id;

CREATE OR REPLACE FUNCTION place_bet(key text, player integer, stake bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    balance_after bigint;
BEGIN
    INSERT INTO movement (transaction_key, player_id, amount) VALUES (key, player, stake);
    UPDATE account SET balance = balance - stake, version = version + 1
     WHERE player_id = player AND balance >= stake
    RETURNING balance INTO balance_after;
    RETURN balance_after;
END
$$;

ANALYZE account;
CHECKPOINT;
