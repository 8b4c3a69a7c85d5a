-- What was paid under which reference, and what came of it: the same again adds nothing. `request` and
-- `receipt` are JSON.
CREATE TABLE payment (
    tenant_id INTEGER NOT NULL,
    reference TEXT NOT NULL,
    at INTEGER NOT NULL,
    request TEXT NOT NULL,
    receipt TEXT NOT NULL,
    PRIMARY KEY (tenant_id, reference)
) STRICT;
CREATE INDEX payment_at ON payment (at);
