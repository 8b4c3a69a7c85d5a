-- Why a router does not answer, in the word of a cause; what was seen stands in last_error.
ALTER TABLE router ADD COLUMN last_cause TEXT;
