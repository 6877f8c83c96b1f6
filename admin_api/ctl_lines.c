/* Accounts, lines, numbers, BTIs, call records: thin words over one statement each. */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl.h"

static int want(const struct ctl_args *a, int n, const char *usage)
{
    return a->n == n ? CTL_OK : ctl_fail(CTL_USAGE, "usage: headgatectl %s", usage);
}

static int list(struct ctl *c, const struct ctl_args *a, const char *sql,
                const char *const *columns)
{
    struct pg_result *r = NULL;
    int rc = want(a, 0, "... list");

    if (rc == CTL_OK) {
        rc = ctl_query(c, sql, NULL, 0, &r);
    }
    if (rc == CTL_OK) {
        rc = ctl_show(c, r, columns);
    }
    pg_result_free(r);
    return rc;
}

/* Changes one row; says so when there is none. */
static int change(struct ctl *c, const char *sql, const struct pg_param *p, size_t n,
                  const char *what)
{
    struct pg_result *r = NULL;
    int rc = ctl_query(c, sql, p, n, &r);

    if (rc == CTL_OK && pg_affected(r) == 0) {
        rc = ctl_fail(CTL_REFUSED, "no such %s", what);
    }
    pg_result_free(r);
    return rc;
}

/* Runs an INSERT ... RETURNING id and prints it under a name. */
static int add(struct ctl *c, const char *sql, const struct pg_param *p, size_t n, const char *name)
{
    struct pg_result *r = NULL;
    char id[24] = "";
    int rc = ctl_query(c, sql, p, n, &r);

    if (rc == CTL_OK && pg_rows(r) == 1 && view_to_cstr(pg_text(r, 0, 0), id, sizeof id) == E_OK) {
        ctl_say(c, (const char *const[]){name, id, NULL});
    }
    pg_result_free(r);
    return rc;
}

int ctl_account_add(struct ctl *c, struct ctl_args *a)
{
    int rc = want(a, 1, "account add NAME");

    return rc != CTL_OK ? rc
                        : add(c, "INSERT INTO core.account (name) VALUES ($1) RETURNING account_id",
                              (const struct pg_param[]){PG_TEXT(view_of(a->v[0]))}, 1, "account");
}

int ctl_account_list(struct ctl *c, struct ctl_args *a)
{
    return list(c, a,
                "SELECT a.account_id, a.name, a.barred, count(l.line_id) FROM core.account a "
                "LEFT JOIN core.line l USING (account_id) GROUP BY 1 ORDER BY 1",
                (const char *const[]){"account", "name", "barred", "lines", NULL});
}

static int bar(struct ctl *c, struct ctl_args *a, const char *what, const char *sql)
{
    char id[24];
    int rc = want(a, 1, "account|line bar|unbar ID");

    if (rc == CTL_OK) {
        rc = ctl_id(a->v[0], what, id);
    }
    return rc != CTL_OK ? rc
                        : change(c, sql, (const struct pg_param[]){PG_TEXT(view_of(id))}, 1, what);
}

int ctl_account_bar(struct ctl *c, struct ctl_args *a)
{
    return bar(c, a, "account", "UPDATE core.account SET barred = true WHERE account_id = $1");
}

int ctl_account_unbar(struct ctl *c, struct ctl_args *a)
{
    return bar(c, a, "account", "UPDATE core.account SET barred = false WHERE account_id = $1");
}

int ctl_line_bar(struct ctl *c, struct ctl_args *a)
{
    return bar(c, a, "line", "UPDATE core.line SET barred = true WHERE line_id = $1");
}

int ctl_line_unbar(struct ctl *c, struct ctl_args *a)
{
    return bar(c, a, "line", "UPDATE core.line SET barred = false WHERE line_id = $1");
}

int ctl_line_add(struct ctl *c, struct ctl_args *a)
{
    const char *name = ctl_option(a, "--name");
    const char *level = ctl_option(a, "--level");
    const char *caller_id = ctl_option(a, "--caller-id");
    char id[24];
    int rc = want(a, 2,
                  "line add ACCOUNT NUMBER [--name DISPLAY] [--level user|administrator] "
                  "[--caller-id yes|no]");

    if (rc == CTL_OK && level != NULL && strcmp(level, "user") != 0 &&
        strcmp(level, "administrator") != 0) {
        rc = ctl_fail(CTL_USAGE, "--level takes user or administrator, not '%s'", level);
    }
    if (rc == CTL_OK && caller_id != NULL && strcmp(caller_id, "yes") != 0 &&
        strcmp(caller_id, "no") != 0) {
        rc = ctl_fail(CTL_USAGE, "--caller-id takes yes or no, not '%s'", caller_id);
    }
    if (rc == CTL_OK) {
        rc = ctl_id(a->v[0], "ACCOUNT", id);
    }
    if (rc != CTL_OK) {
        return rc;
    }
    return add(
        c,
        "WITH l AS (INSERT INTO core.line (account_id, display, level) VALUES ($1, $2, $3) "
        "RETURNING line_id), n AS (INSERT INTO core.number (number, line_id) "
        "SELECT $4, line_id FROM l), s AS (INSERT INTO core.line_service (line_id, caller_id) "
        "SELECT line_id, true FROM l WHERE $5::boolean) SELECT line_id FROM l",
        (const struct pg_param[]){
            PG_TEXT(view_of(id)), PG_TEXT(view_of(name)),
            PG_TEXT(level != NULL && level[0] == 'a' ? VIEW("1") : VIEW("0")),
            PG_TEXT(view_of(a->v[1])),
            PG_TEXT(caller_id != NULL && caller_id[0] == 'y' ? VIEW("true") : VIEW("false"))},
        5, "line");
}

int ctl_line_list(struct ctl *c, struct ctl_args *a)
{
    return list(
        c, a,
        "SELECT l.line_id, l.account_id, coalesce(string_agg(n.number, ' ' ORDER BY NOT "
        "n.is_primary, n.number), ''), l.display, CASE l.level WHEN 1 THEN 'administrator' ELSE "
        "'user' END, l.barred OR a.barred FROM core.line l JOIN core.account a USING (account_id) "
        "LEFT JOIN core.number n USING (line_id) GROUP BY l.line_id, a.barred ORDER BY 1",
        (const char *const[]){"line", "account", "numbers", "name", "level", "barred", NULL});
}

int ctl_number_add(struct ctl *c, struct ctl_args *a)
{
    char id[24];
    int rc = want(a, 2, "number add LINE NUMBER");

    if (rc == CTL_OK) {
        rc = ctl_id(a->v[0], "LINE", id);
    }
    return rc != CTL_OK
               ? rc
               : ctl_query(
                     c,
                     "INSERT INTO core.number (number, line_id, is_primary) VALUES ($1, $2, "
                     "NOT EXISTS (SELECT FROM core.number WHERE line_id = $2 AND is_primary))",
                     (const struct pg_param[]){PG_TEXT(view_of(a->v[1])), PG_TEXT(view_of(id))}, 2,
                     NULL);
}

int ctl_number_remove(struct ctl *c, struct ctl_args *a)
{
    int rc = want(a, 1, "number remove NUMBER");

    return rc != CTL_OK ? rc
                        : change(c, "DELETE FROM core.number WHERE number = $1",
                                 (const struct pg_param[]){PG_TEXT(view_of(a->v[0]))}, 1, "number");
}

int ctl_bti_list(struct ctl *c, struct ctl_args *a)
{
    return list(
        c, a,
        "SELECT encode(b.bti_id, 'hex'), b.line_id, coalesce(n.number, ''), b.mac_address, "
        "b.model, "
        "b.software, to_char(b.enrolled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
        "coalesce(to_char(b.revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '') "
        "FROM core.bti b LEFT JOIN core.number n ON n.line_id = b.line_id AND n.is_primary ORDER "
        "BY "
        "b.enrolled_at",
        (const char *const[]){"bti", "line", "number", "mac_address", "model", "software",
                              "enrolled", "revoked", NULL});
}

int ctl_bti_revoke(struct ctl *c, struct ctl_args *a)
{
    uint8_t id[16];
    int rc = want(a, 1, "bti revoke BTI");

    if (rc == CTL_OK && hex_get(view_of(a->v[0]), id, sizeof id) != E_OK) {
        rc = ctl_fail(CTL_USAGE, "BTI is 32 hex digits (bti list shows them)");
    }
    return rc != CTL_OK
               ? rc
               : change(
                     c,
                     "UPDATE core.bti SET revoked_at = now() WHERE bti_id = $1 AND revoked_at IS "
                     "NULL",
                     (const struct pg_param[]){PG_BYTES(view_from(id, sizeof id))}, 1,
                     "BTI that is not revoked yet");
}

int ctl_cdr_list(struct ctl *c, struct ctl_args *a)
{
    const char *limit = ctl_option(a, "--limit");
    struct pg_result *r = NULL;
    char n[24] = "50";
    int rc = want(a, 0, "cdr list [--limit N]");

    if (rc == CTL_OK && limit != NULL) {
        rc = ctl_id(limit, "--limit", n);
    }
    if (rc == CTL_OK) {
        rc = ctl_query(
            c,
            "SELECT to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
            "caller, called, routed, route, status, coalesce(round(extract(epoch FROM ended_at - "
            "answered_at)::numeric, 1)::text, ''), end_by, CASE WHEN private THEN 'yes' ELSE 'no' "
            "END, "
            "forwarded_by, attest, call_id, node FROM cdr.call ORDER BY started_at DESC LIMIT $1",
            (const struct pg_param[]){PG_TEXT(view_of(n))}, 1, &r);
    }
    if (rc == CTL_OK) {
        rc = ctl_show(c, r,
                      (const char *const[]){"started", "caller", "called", "routed", "route",
                                            "status", "seconds", "ended_by", "private",
                                            "forwarded_by", "attest", "call_id", "node", NULL});
    }
    pg_result_free(r);
    return rc;
}
