-- What was paid under which reference, and what came of it: the same again adds nothing. `request` and
-- `receipt` are JSON.
CREATE TABLE payment (
    tenant_id BIGINT NOT NULL,
    reference TEXT NOT NULL,
    at BIGINT NOT NULL,
    request TEXT NOT NULL,
    receipt TEXT NOT NULL,
    PRIMARY KEY (tenant_id, reference)
);
CREATE INDEX payment_at ON payment (at);
