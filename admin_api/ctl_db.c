#include <string.h>

#include "admin_api/ctl.h"

struct pg_sync *ctl_db(struct ctl *c)
{
    char why[256];

    if (c->db == NULL && pg_sync_open(c->conninfo, &c->db, why, sizeof why) != E_OK) {
        (void)ctl_fail(CTL_UNREACHABLE, "database: %s", why);
        c->db = NULL;
    } else if (!c->has_session) {
        c->has_session = true; /* before: it asks the database itself */
        if (ctl_open_session(c) != CTL_OK) {
            return NULL;
        }
    }
    return c->db;
}

int ctl_query(struct ctl *c, const char *sql, const struct pg_param *p, size_t n,
              struct pg_result **out)
{
    struct pg_result *r = NULL;
    enum err e = E_IO;
    int rc = CTL_OK;

    if (ctl_db(c) == NULL) {
        return CTL_UNREACHABLE;
    }
    e = pg_sync_query(c->db, sql, p, n, &r);
    if (e != E_OK) {
        const char *words = r != NULL ? pg_message(r) : err_text(e);
        rc = ctl_fail(e == E_IO ? CTL_UNREACHABLE : CTL_REFUSED, "%.*s", (int)strcspn(words, "\n"),
                      words);
        pg_result_free(r);
        return rc;
    }
    if (pg_rows(r) == 0 && pg_affected(r) == 0 && ctl_has_proposed(c)) {
        pg_result_free(r);
        return CTL_PROPOSED;
    }
    if (out != NULL) {
        *out = r;
    } else {
        pg_result_free(r);
    }
    return CTL_OK;
}
