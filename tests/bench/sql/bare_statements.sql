\set player random(1, 10000)
\set stake random(1, 100)
BEGIN;
INSERT INTO movement (transaction_key, player_id, amount) VALUES (gen_random_uuid()::text, :player, :stake);
UPDATE account SET balance = balance - :stake, version = version + 1 WHERE player_id = :player AND balance >= :stake;
COMMIT;
