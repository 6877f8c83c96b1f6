-- What headgate-li may know of subscribers: whose line a number or a BTI is, of all of them at once, so that no question names
-- one. Its orders are not in this database (migrations/li).
GRANT USAGE ON SCHEMA core TO hg_li;
GRANT SELECT (seq, tbl) ON core.change_log TO hg_li;
GRANT SELECT (number, line_id) ON core.number TO hg_li;
GRANT SELECT (bti_id, line_id, revoked_at) ON core.bti TO hg_li;
