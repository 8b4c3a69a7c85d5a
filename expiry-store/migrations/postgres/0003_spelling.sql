-- A name may now have bytes that cannot be read. They are spelled `\xhh`, so a backslash that stands
-- before an `x` is spelled `\x5c` from now on. In JSON each backslash is written twice.
UPDATE subscriber SET username = replace(username, '\x', '\x5cx')
    WHERE username <> replace(username, '\x', '');
UPDATE enforcement SET username = replace(username, '\x', '\x5cx')
    WHERE username <> replace(username, '\x', '');
UPDATE event SET username = replace(username, '\x', '\x5cx')
    WHERE username <> replace(username, '\x', '');
UPDATE undo SET key = replace(key, '\x', '\x5cx')
    WHERE key <> replace(key, '\x', '');
UPDATE undo SET items = replace(items, '\\x', '\\x5cx'), stay = replace(stay, '\\x', '\\x5cx')
    WHERE items || stay <> replace(items || stay, '\\x', '');
UPDATE stray SET login = replace(login, '\x', '\x5cx'), comment = replace(comment, '\x', '\x5cx')
    WHERE COALESCE(login, '') || COALESCE(comment, '') <>
        replace(COALESCE(login, '') || COALESCE(comment, ''), '\x', '');
