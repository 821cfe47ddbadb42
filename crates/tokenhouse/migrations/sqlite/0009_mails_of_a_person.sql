-- What was sent to somebody is part of what is kept of them, and they may download it.
CREATE INDEX outbox_by_address ON outbox (address);
