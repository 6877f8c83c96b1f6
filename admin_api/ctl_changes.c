/* Changes that need two people: policies, and proposals that another person approves. The database
 * decides (migrations/0006_audit.sql); a session of ours proposes what a policy forbids to do. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "admin_api/ctl_opts.h"

#define TIME(column)                                                                               \
    "coalesce(to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '')"
/* What a change is about: the name of a row, or its key. */
#define OBJECT                                                                                     \
    "replace(c.tbl, 'dial_rule', 'rule') || ' ' || (coalesce(c.after, c.before) ->> "              \
    "CASE c.tbl WHEN 'number' THEN 'number' ELSE 'name' END)"
/* One line for each column that is, or becomes, different. */
#define DIFFERENCE(separator)                                                                      \
    "(SELECT string_agg(CASE c.op WHEN 'update' THEN format('%s: %s -> %s', k, b.r -> k, a.r -> "  \
    "k) "                                                                                          \
    "ELSE format('%s: %s', k, coalesce(a.r, b.r) -> k) END, " separator " ORDER BY k) FROM "       \
    "(SELECT core.without_secrets(c.before) AS r) b, (SELECT core.without_secrets(c.after) AS r) " \
    "a, jsonb_object_keys(coalesce(a.r, b.r)) k WHERE b.r -> k IS DISTINCT FROM a.r -> k)"

/* ---- a session that proposes ---- */

int ctl_open_session(struct ctl *c)
{
    const struct passwd *p = getpwuid(getuid());
    char person[128];
    struct pg_param param;

    snprintf(person, sizeof person, "uid %lu (%s)", (unsigned long)getuid(),
             p != NULL ? p->pw_name : "no name");
    param = PG_TEXT(view_of(person));
    return ctl_query(c,
                     "SELECT set_config('headgate.person', $1, false), "
                     "set_config('headgate.propose', 'on', false)",
                     &param, 1, NULL);
}

/* What this session proposed: numbers of changes, with blanks between them. */
static int proposed(struct ctl *c, char *out, size_t max)
{
    struct pg_result *r = NULL;
    enum err e = pg_sync_query(
        c->db, "SELECT coalesce(current_setting('headgate.proposed', true), '')", NULL, 0, &r);

    if (e != E_OK || view_to_cstr(pg_text(r, 0, 0), out, max) != E_OK) {
        out[0] = 0;
    }
    pg_result_free(r);
    return out[0] != 0;
}

bool ctl_has_proposed(struct ctl *c)
{
    char ids[256];

    return proposed(c, ids, sizeof ids);
}

int ctl_say_proposed(struct ctl *c, int rc)
{
    char ids[256], *at = ids, *id = NULL;
    bool alone = rc == CTL_PROPOSED; /* nothing else was printed */

    if (rc != CTL_OK && !alone) {
        return rc;
    }
    snprintf(ids, sizeof ids, "%s", c->proposed);
    if (ids[0] == 0 && (c->db == NULL || !proposed(c, ids, sizeof ids))) {
        return rc;
    }
    while ((id = strsep(&at, " ")) != NULL) {
        if (alone && c->json) {
            ctl_say(c, (const char *const[]){"proposed", id, NULL});
        } else {
            fprintf(c->json ? stderr : stdout,
                    "proposed as change %s: another person approves it with headgatectl change "
                    "approve %s\n",
                    id, id);
        }
    }
    return rc;
}

/* ---- policies ---- */

int ctl_policy_list(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "policy list");
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(c,
                         "SELECT name, CASE WHEN enabled THEN 'on' ELSE 'off' END, help FROM "
                         "core.policy ORDER BY name",
                         NULL, 0, &r);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_show(c, r, (const char *const[]){"policy", "state", "meaning", NULL});
    }
    pg_result_free(r);
    return o.rc;
}

int ctl_policy_set(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    struct opts o = {.a = a};
    bool on = false;

    opt_end(&o, 2, "policy set NAME on|off");
    if (o.rc == CTL_OK) {
        on = strcmp(a->v[1], "on") == 0;
        o.rc = on || strcmp(a->v[1], "off") == 0
                   ? CTL_OK
                   : ctl_fail(CTL_USAGE, "on or off, not '%s'", a->v[1]);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(c, "UPDATE core.policy SET enabled = $2 WHERE name = $1",
                         (const struct pg_param[]){PG_TEXT(view_of(a->v[0])), opt_bool_param(on)},
                         2, &r);
    }
    if (o.rc == CTL_OK && pg_affected(r) == 0) {
        o.rc = ctl_fail(CTL_REFUSED, "no policy '%s' (policy list shows them)", a->v[0]);
    }
    pg_result_free(r);
    return o.rc;
}

/* ---- changes ---- */

int ctl_change_list(struct ctl *c, struct ctl_args *a)
{
    bool all = ctl_flag(a, "--all");
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "change list [--all]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(
            c,
            "SELECT c.change_id, " TIME("c.proposed_at") ", c.proposer, "
                                                         "c.proposer_person, c.op, " OBJECT
                                                         ", c.state, coalesce(c.decider, ''), "
                                                         "coalesce(c.decider_person, '') FROM "
                                                         "core.change c WHERE $1 OR c.state = "
                                                         "'proposed' ORDER BY c.change_id",
            (const struct pg_param[]){opt_bool_param(all)}, 1, &r);
    }
    if (o.rc == CTL_OK) {
        o.rc =
            ctl_show(c, r,
                     (const char *const[]){"change", "proposed", "by", "person", "action", "object",
                                           "state", "decided_by", "decider_person", NULL});
    }
    pg_result_free(r);
    return o.rc;
}

int ctl_change_show(struct ctl *c, struct ctl_args *a)
{
    static const char *const names[] = {"change",     "proposed",       "by",        "person",
                                        "action",     "object",         "state",     "decided",
                                        "decided_by", "decider_person", "difference"};
    enum { FIELDS = sizeof names / sizeof *names };
    char id[24], values[FIELDS][4096];
    const char *pairs[2 * FIELDS + 1];
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "change show CHANGE");
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "CHANGE", id);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(
            c,
            "SELECT c.change_id, " TIME(
                "c.proposed_at") ", c.proposer, "
                                 "c.proposer_person, c.op, " OBJECT ", c.state, " TIME(
                                     "c.decided_at") ", "
                                                     "coalesce(c.decider, ''), "
                                                     "coalesce(c.decider_person, ''), " DIFFERENCE(
                                                         "E'\\n  '") " FROM core.change c WHERE "
                                                                     "c.change_id = $1",
            (const struct pg_param[]){PG_TEXT(view_of(id))}, 1, &r);
    }
    if (o.rc == CTL_OK && pg_rows(r) == 0) {
        o.rc = ctl_fail(CTL_REFUSED, "no change %s (change list shows them)", id);
    }
    for (size_t i = 0; o.rc == CTL_OK && i < FIELDS; i++) {
        struct view v = view_sub(pg_text(r, 0, i), 0, sizeof values[i] - 1);
        IGNORE(view_to_cstr(v, values[i], sizeof values[i]), "the database holds no NUL");
        pairs[2 * i] = names[i];
        pairs[2 * i + 1] = values[i];
    }
    if (o.rc == CTL_OK) {
        pairs[2 * FIELDS] = NULL;
        ctl_say(c, pairs);
    }
    pg_result_free(r);
    return o.rc;
}

static int decide(struct ctl *c, struct ctl_args *a, const char *usage, const char *sql)
{
    char id[24];
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "CHANGE", id);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(c, sql, (const struct pg_param[]){PG_TEXT(view_of(id))}, 1, &r);
    }
    pg_result_free(r);
    return o.rc;
}

int ctl_change_approve(struct ctl *c, struct ctl_args *a)
{
    return decide(c, a, "change approve CHANGE", "SELECT core.approve_change($1)");
}

int ctl_change_reject(struct ctl *c, struct ctl_args *a)
{
    return decide(c, a, "change reject CHANGE", "SELECT core.reject_change($1)");
}
