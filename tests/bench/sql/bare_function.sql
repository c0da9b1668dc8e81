\set player random(1, 10000)
\set stake random(1, 100)
SELECT place_bet(gen_random_uuid()::text, :player, :stake);
