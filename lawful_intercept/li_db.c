#include "lawful_intercept/li_db.h"

#include <stdio.h>
#include <string.h>

enum { CONNINFO_MAX = 1200, HELLO_MS = 4000 };

enum err li_db_open(const char *conninfo, unsigned silent_ms, struct pg_sync **out, char *why,
                    size_t why_bytes)
{
    char bounded[CONNINFO_MAX], session[160];
    struct pg_sync *db = NULL;
    /* an URI, and who has chosen the time himself, are left as they are */
    bool is_whole = strstr(conninfo, "connect_timeout") != NULL || strstr(conninfo, "://") != NULL;
    int n = snprintf(bounded, sizeof bounded, "%s%s", conninfo,
                     is_whole ? "" : " connect_timeout=3 tcp_user_timeout=10000");
    enum err e = n > 0 && (size_t)n < sizeof bounded ? E_OK : FAIL(E_RANGE);

    TRY(e);
    TRY(pg_sync_open(bounded, &db, why, why_bytes));
    pg_sync_limit(db, HELLO_MS);
    snprintf(session, sizeof session,
             "SELECT set_config('statement_timeout', '%u', false), "
             "set_config('lock_timeout', '2s', false)",
             silent_ms);
    e = pg_sync_query(db, session, NULL, 0, NULL);
    if (e != E_OK) {
        snprintf(why, why_bytes, "no answer after connecting");
        TRY(FAIL(E_IO));
    }
    pg_sync_limit(db, silent_ms);
    *out = db;
    db = NULL;
out:
    pg_sync_close(db);
    return e;
}
