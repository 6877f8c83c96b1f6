/* Service records of lines (what they subscribe to, where their calls are forwarded), and traces of
 * malicious calls, which another database role reads. */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl_opts.h"
#include "routing/plan_check.h"

#define USAGE_SET                                                                                  \
    "service set LINE|NUMBER [--caller-id yes|no] [--private yes|no] [--reject-anonymous yes|no] " \
    "[--forward-always NUMBER|off] [--forward-busy NUMBER|off] [--forward-no-answer NUMBER|off] "  \
    "[--no-answer-seconds N]"
#define YES(column) "CASE WHEN " column " THEN 'yes' ELSE 'no' END"

static const char *const FORWARD_OPTIONS[FORWARDS] = {
    [FORWARD_ALWAYS] = "--forward-always",
    [FORWARD_BUSY] = "--forward-busy",
    [FORWARD_NO_ANSWER] = "--forward-no-answer",
};

/* ---- lines ---- */

/* The id of a line named by its id or by one of its numbers. */
static int find_line(struct ctl *c, const char *text, char out[24])
{
    bool by_number = text[0] == '+';
    struct pg_result *r = NULL;
    const struct pg_param p = PG_TEXT(view_of(text));
    int rc = by_number ? CTL_OK : ctl_id(text, "LINE", out);

    if (rc == CTL_OK) {
        rc = ctl_query(c,
                       by_number ? "SELECT line_id FROM core.number WHERE number = $1"
                                 : "SELECT line_id FROM core.line WHERE line_id = $1",
                       &p, 1, &r);
    }
    if (rc == CTL_OK && pg_rows(r) != 1) {
        rc = ctl_fail(CTL_REFUSED, by_number ? "no line has the number %s" : "no line %s", text);
    }
    if (rc == CTL_OK) {
        IGNORE(view_to_cstr(pg_text(r, 0, 0), out, 24), "a bigint fits");
    }
    pg_result_free(r);
    return rc;
}

int ctl_service_show(struct ctl *c, struct ctl_args *a)
{
    static const char *const names[] = {"line",
                                        "numbers",
                                        "name",
                                        "caller_id",
                                        "private",
                                        "reject_anonymous",
                                        "forward_always",
                                        "forward_busy",
                                        "forward_no_answer",
                                        "no_answer_seconds"};
    enum { FIELDS = sizeof names / sizeof *names };
    char id[24], values[FIELDS][256];
    const char *pairs[2 * FIELDS + 1];
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "service show LINE|NUMBER");
    if (o.rc == CTL_OK) {
        o.rc = find_line(c, a->v[0], id);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(c,
                         "SELECT l.line_id, coalesce((SELECT string_agg(n.number, ' ' ORDER BY NOT "
                         "n.is_primary, n.number) FROM core.number n WHERE n.line_id = l.line_id), "
                         "''), l.display, " YES("s.caller_id") ", " YES("s.private") ", " YES(
                             "s.rejects_anonymous") ", coalesce(s.forward_always, 'off'), "
                                                    "coalesce(s.forward_busy, 'off'), "
                                                    "coalesce(s.forward_no_answer, 'off'), "
                                                    "coalesce(s.no_answer_s, 20) FROM core.line l "
                                                    "LEFT JOIN core.line_service s USING (line_id) "
                                                    "WHERE l.line_id = $1",
                         (const struct pg_param[]){PG_TEXT(view_of(id))}, 1, &r);
    }
    if (o.rc == CTL_OK && pg_rows(r) == 0) {
        o.rc = ctl_fail(CTL_REFUSED, "the line is gone");
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

/* A parameter for a yes-or-no column: NULL leaves it as it is. */
static struct pg_param take_yes(struct opts *o, const char *name)
{
    bool yes = false;
    unsigned before = o->taken;

    opt_yes(o, name, &yes);
    return o->taken != before ? opt_bool_param(yes) : PG_NULL;
}

/* As that for a number to forward to; empty switches it off. */
static struct pg_param take_forward(struct opts *o, enum line_forward which)
{
    struct view v = VIEW("");
    unsigned before = o->taken;

    opt_text(o, FORWARD_OPTIONS[which], &v);
    if (o->rc != CTL_OK || o->taken == before) {
        return PG_NULL;
    }
    if (view_eq(v, VIEW("off"))) {
        return PG_TEXT(VIEW(""));
    }
    if (!plan_e164(v)) {
        o->rc = ctl_fail(CTL_USAGE, "%s takes a number as +12125550101, or off, not '%.*s'",
                         FORWARD_OPTIONS[which], (int)v.n, v.p);
    }
    return PG_TEXT(v);
}

static struct pg_param take_seconds(struct opts *o, char text[OPT_TEXT_MAX])
{
    uint32_t seconds = 0;
    unsigned before = o->taken;

    opt_number(o, "--no-answer-seconds", NO_ANSWER_MAX_S, &seconds);
    if (o->rc != CTL_OK || o->taken == before) {
        return PG_NULL;
    }
    if (seconds < NO_ANSWER_MIN_S) {
        o->rc = ctl_fail(CTL_USAGE, "--no-answer-seconds takes %d to %d", NO_ANSWER_MIN_S,
                         NO_ANSWER_MAX_S);
    }
    return opt_uint_param(seconds, text);
}

/* Only what the options name: a line may change other things by its feature codes meanwhile. */
#define SQL_SET                                                                                    \
    "INSERT INTO core.line_service AS s (line_id, caller_id, private, rejects_anonymous, "         \
    "forward_always, forward_busy, forward_no_answer, no_answer_s) SELECT $1::bigint, "            \
    "coalesce($2::boolean, false), coalesce($3::boolean, false), coalesce($4::boolean, false), "   \
    "nullif($5::text, ''), nullif($6::text, ''), nullif($7::text, ''), "                           \
    "coalesce($8::smallint, 20) WHERE NOT EXISTS (SELECT FROM core.number n WHERE n.line_id = "    \
    "$1::bigint AND n.number IN ($5::text, $6::text, $7::text)) ON CONFLICT (line_id) DO UPDATE "  \
    "SET "                                                                                         \
    "caller_id = coalesce($2::boolean, s.caller_id), "                                             \
    "private = coalesce($3::boolean, s.private), "                                                 \
    "rejects_anonymous = coalesce($4::boolean, s.rejects_anonymous), "                             \
    "forward_always = nullif(coalesce($5::text, s.forward_always), ''), "                          \
    "forward_busy = nullif(coalesce($6::text, s.forward_busy), ''), "                              \
    "forward_no_answer = nullif(coalesce($7::text, s.forward_no_answer), ''), "                    \
    "no_answer_s = coalesce($8::smallint, s.no_answer_s)"

int ctl_service_set(struct ctl *c, struct ctl_args *a)
{
    char id[24], seconds[OPT_TEXT_MAX];
    struct pg_result *r = NULL;
    struct opts o = {.a = a};
    struct pg_param p[8] = {
        PG_NULL,
        take_yes(&o, "--caller-id"),
        take_yes(&o, "--private"),
        take_yes(&o, "--reject-anonymous"),
        take_forward(&o, FORWARD_ALWAYS),
        take_forward(&o, FORWARD_BUSY),
        take_forward(&o, FORWARD_NO_ANSWER),
        take_seconds(&o, seconds),
    };

    opt_end(&o, 1, USAGE_SET);
    if (o.rc == CTL_OK && o.taken == 0) {
        o.rc = ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", USAGE_SET);
    }
    if (o.rc == CTL_OK) {
        o.rc = find_line(c, a->v[0], id);
    }
    if (o.rc == CTL_OK) {
        p[0] = PG_TEXT(view_of(id));
        o.rc = ctl_query(c, SQL_SET, p, 8, &r);
    }
    if (o.rc == CTL_OK && pg_affected(r) == 0) {
        o.rc = ctl_fail(CTL_REFUSED, "a line cannot forward to itself");
    }
    pg_result_free(r);
    return o.rc;
}

/* ---- traces ---- */

int ctl_trace_list(struct ctl *c, struct ctl_args *a)
{
    struct ctl other = {.conninfo = c->trace_conninfo, .json = c->json};
    uint32_t limit = 50;
    char n[OPT_TEXT_MAX], id[24] = "";
    struct view line = VIEW("");
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_number(&o, "--limit", 100000, &limit);
    opt_text(&o, "--line", &line);
    opt_end(&o, 0, "trace list [--line LINE] [--limit N]");
    if (o.rc == CTL_OK && line.n > 0) {
        o.rc = ctl_id(line.p, "--line", id);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(&other,
                         "SELECT id, to_char(at AT TIME ZONE 'UTC', "
                         "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), line_id, caller, called, " YES(
                             "private") ", to_char(call_started AT TIME ZONE 'UTC', "
                                        "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), call_id, node FROM "
                                        "trace.record WHERE $1::text = '' OR line_id = "
                                        "nullif($1::text, '')::bigint ORDER BY id DESC LIMIT $2",
                         (const struct pg_param[]){PG_TEXT(view_of(id)), opt_uint_param(limit, n)},
                         2, &r);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_show(c, r,
                        (const char *const[]){"trace", "at", "line", "caller", "called", "private",
                                              "call_started", "call_id", "node", NULL});
    }
    pg_result_free(r);
    pg_sync_close(other.db);
    return o.rc;
}
