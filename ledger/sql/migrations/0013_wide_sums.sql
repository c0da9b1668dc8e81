-- Sums over many players may be larger than any balance: a bigint that runs over would stop its view
-- for good. Balances and rounds are each held to a bigint by the wallet's rules.

SET LOCAL ROLE ledger_owner;

DO $widen$
DECLARE
    kept name;
BEGIN
    FOREACH kept IN ARRAY ARRAY['account_hours', 'account_hours_rebuild']::name[] LOOP
        EXECUTE format(
            'ALTER TABLE {schema}.%I'
            ' ALTER COLUMN debit TYPE numeric(40, 0), ALTER COLUMN credit TYPE numeric(40, 0)',
            kept);
    END LOOP;
    FOREACH kept IN ARRAY ARRAY['totals', 'totals_rebuild']::name[] LOOP
        -- A column that others are made of cannot change its type: those are made anew.
        EXECUTE format(
            'ALTER TABLE {schema}.%I DROP COLUMN bets, DROP COLUMN refunds, DROP COLUMN wins,'
            ' DROP COLUMN reversals',
            kept);
        EXECUTE format(
            'ALTER TABLE {schema}.%I'
            ' ALTER COLUMN bets_real TYPE numeric(40, 0),'
            ' ALTER COLUMN bets_bonus TYPE numeric(40, 0),'
            ' ALTER COLUMN refunds_real TYPE numeric(40, 0),'
            ' ALTER COLUMN refunds_bonus TYPE numeric(40, 0),'
            ' ALTER COLUMN wins_real TYPE numeric(40, 0),'
            ' ALTER COLUMN wins_bonus TYPE numeric(40, 0),'
            ' ALTER COLUMN reversals_real TYPE numeric(40, 0),'
            ' ALTER COLUMN reversals_bonus TYPE numeric(40, 0),'
            ' ALTER COLUMN shortfalls TYPE numeric(40, 0)',
            kept);
        -- Constraints bear the name of the live table on both, as LIKE gave them.
        EXECUTE format(
            'ALTER TABLE {schema}.%I'
            ' ADD COLUMN bets numeric(40, 0) CONSTRAINT totals_bets_not_null NOT NULL'
            '   GENERATED ALWAYS AS (bets_real + bets_bonus) STORED,'
            ' ADD COLUMN refunds numeric(40, 0) CONSTRAINT totals_refunds_not_null NOT NULL'
            '   GENERATED ALWAYS AS (refunds_real + refunds_bonus) STORED,'
            ' ADD COLUMN wins numeric(40, 0) CONSTRAINT totals_wins_not_null NOT NULL'
            '   GENERATED ALWAYS AS (wins_real + wins_bonus) STORED,'
            ' ADD COLUMN reversals numeric(40, 0) CONSTRAINT totals_reversals_not_null NOT NULL'
            '   GENERATED ALWAYS AS (reversals_real + reversals_bonus + shortfalls) STORED',
            kept);
    END LOOP;
END
$widen$;
