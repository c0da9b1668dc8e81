-- Which seal covers an event: asked for each proof of a bundle of evidence.

SET LOCAL ROLE ledger_owner;

CREATE INDEX seals_through_idx ON {schema}.seals (through_id);
