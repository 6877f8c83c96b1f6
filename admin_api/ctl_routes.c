/* Routes and dial rules: a row is read, changed, checked and written as a whole. */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl_opts.h"
#include "routing/plan_check.h"
#include "routing/plan_time.h"

#define ROUTE_OPTIONS "[--emergency] [--priority N] [--weight N] [--max-channels N] [--time HOURS]"
#define ROUTE_ADD     "route add NAME PREFIX (NEXT_HOP | --trunk TRUNK) " ROUTE_OPTIONS
#define ROUTE_SET     "route set NAME [--prefix P] [--next-hop URI | --trunk TRUNK] [OPTION ...]"
#define RULE_ADD      "rule add NAME PREFIX [OPTION ...]"
#define RULE_SET      "rule set NAME [--prefix P] [OPTION ...]"
#define NUMBER_MAX    0x7fffffffu

static struct pg_param text_or_null(struct view v)
{
    return v.n > 0 ? PG_TEXT(v) : PG_NULL;
}

static int remove_row(struct ctl *c, struct ctl_args *a, const char *usage, const char *sql,
                      const char *what)
{
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(c, sql, (const struct pg_param[]){PG_TEXT(view_of(a->v[0]))}, 1, &r);
    }
    if (o.rc == CTL_OK && pg_affected(r) == 0) {
        o.rc = ctl_fail(CTL_REFUSED, "no %s '%s' (%s list shows them)", what, a->v[0], what);
    }
    pg_result_free(r);
    return o.rc;
}

static int show_rows(struct ctl *c, struct ctl_args *a, const char *usage, const char *sql,
                     const char *const *columns)
{
    struct pg_result *r = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, usage);
    if (o.rc == CTL_OK) {
        o.rc = ctl_query(c, sql, NULL, 0, &r);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_show(c, r, columns);
    }
    pg_result_free(r);
    return o.rc;
}

/* ---- routes ---- */

struct route_row {
    struct route r;
    struct view trunk; /* its name; empty: next_hop */
};

static void take_time(struct opts *o, struct route_time *t)
{
    struct view v = {0};

    opt_text(o, "--time", &v);
    if (v.p != NULL && route_time_parse(v, t) != E_OK) {
        o->rc = ctl_fail(CTL_USAGE,
                         "--time takes words as in \"mon-fri 08:00-18:00 +01:00\" or always, not "
                         "'%.*s'",
                         (int)v.n, v.p);
    }
}

static void take_route_options(struct opts *o, struct route_row *row)
{
    struct view trunk = {0}, hop = {0};

    opt_text(o, "--prefix", &row->r.prefix);
    opt_text(o, "--trunk", &trunk);
    opt_text(o, "--next-hop", &hop);
    opt_number(o, "--priority", 65535, &row->r.priority);
    opt_number(o, "--weight", 65535, &row->r.weight);
    opt_number(o, "--max-channels", NUMBER_MAX, &row->r.max_channels);
    take_time(o, &row->r.when);
    if (o->rc == CTL_OK && trunk.n > 0 && hop.n > 0) {
        o->rc = ctl_fail(CTL_USAGE, "--trunk or --next-hop, not both");
    }
    if (trunk.n > 0) {
        row->trunk = trunk;
        row->r.next_hop = VIEW("");
    }
    if (hop.n > 0) {
        row->trunk = VIEW("");
        row->r.next_hop = hop;
    }
}

static int check_route(const struct route_row *row)
{
    struct route r = row->r;
    const char *fault = NULL;

    if (r.name.n == 0 || r.name.n > SNAPSHOT_NAME_MAX) {
        return ctl_fail(CTL_USAGE, "name: not 1 to %d octets", SNAPSHOT_NAME_MAX);
    }
    if (row->trunk.n > 0 && r.next_hop.n > 0) {
        return ctl_fail(CTL_USAGE, "a next hop or --trunk, not both");
    }
    r.trunk_id = row->trunk.n > 0;
    fault = route_fault(&r);
    return fault != NULL ? ctl_fail(CTL_USAGE, "%s", fault) : CTL_OK;
}

/* E.g. a route to a trunk that is not there writes nothing. */
static int write_route(struct ctl *c, const struct route_row *row, const char *sql, bool is_new)
{
    const struct route *r = &row->r;
    char n[7][OPT_TEXT_MAX], offset[OPT_TEXT_MAX];
    struct pg_result *result = NULL;
    int rc = check_route(row);

    if (rc != CTL_OK) {
        return rc;
    }
    if (row->trunk.n > 0) {
        const struct pg_param p = PG_TEXT(row->trunk);
        rc = ctl_query(c, "SELECT FROM core.trunk WHERE name = $1", &p, 1, &result);
        if (rc == CTL_OK && pg_rows(result) == 0) {
            rc = ctl_fail(CTL_REFUSED, "no trunk '%.*s' (trunk list shows them)", (int)row->trunk.n,
                          row->trunk.p);
        }
        pg_result_free(result);
        result = NULL;
    }
    if (rc != CTL_OK) {
        return rc;
    }
    (void)snprintf(offset, sizeof offset, "%d", r->when.utc_offset_min);
    const struct pg_param p[] = {
        PG_TEXT(r->name),
        PG_TEXT(r->prefix),
        text_or_null(r->next_hop),
        text_or_null(row->trunk),
        PG_TEXT(r->kind == ROUTE_EMERGENCY ? VIEW("emergency") : VIEW("next_hop")),
        opt_uint_param(r->priority, n[0]),
        opt_uint_param(r->weight, n[1]),
        opt_uint_param(r->max_channels, n[2]),
        opt_uint_param(r->when.days, n[3]),
        opt_uint_param(r->when.from_min, n[4]),
        opt_uint_param(r->when.to_min, n[5]),
        PG_TEXT(view_of(offset)),
    };
    rc = ctl_query(c, sql, p, sizeof p / sizeof *p, &result);
    if (rc == CTL_OK && pg_rows(result) == 0) {
        rc = ctl_fail(CTL_REFUSED,
                      is_new ? "route '%.*s' exists already (route set changes it)"
                             : "no route '%.*s' (route list shows them)",
                      (int)r->name.n, r->name.p);
    }
    pg_result_free(result);
    return rc;
}

#define TRUNK_OF "(SELECT trunk_id FROM core.trunk WHERE name = $4)"

int ctl_route_add(struct ctl *c, struct ctl_args *a)
{
    struct route_row row = {.r = {.priority = 100, .weight = 1, .kind = ROUTE_NEXT_HOP}};
    struct opts o = {.a = a};

    row.r.kind = ctl_flag(a, "--emergency") ? ROUTE_EMERGENCY : ROUTE_NEXT_HOP;
    take_route_options(&o, &row);
    opt_end(&o, row.trunk.n > 0 || row.r.next_hop.n > 0 ? 2 : 3, ROUTE_ADD);
    if (o.rc != CTL_OK) {
        return o.rc;
    }
    row.r.name = view_of(a->v[0]);
    row.r.prefix = view_of(a->v[1]);
    if (a->n == 3) {
        row.r.next_hop = view_of(a->v[2]);
    }
    return write_route(c, &row,
                       "INSERT INTO core.route (name, prefix, next_hop, trunk_id, kind, priority, "
                       "weight, max_channels, days, from_min, to_min, utc_offset_min) VALUES ($1, "
                       "$2, $3, " TRUNK_OF
                       ", $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (name) "
                       "DO NOTHING RETURNING route_id",
                       true);
}

int ctl_route_set(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *was = NULL;
    struct route_row row;
    struct opts o = {.a = a};
    int rc = a->n > 0 ? ctl_query(c,
                                  "SELECT r.name, prefix, next_hop, t.name, kind, r.priority, "
                                  "weight, r.max_channels, days, from_min, to_min, utc_offset_min "
                                  "+ 840 FROM core.route r LEFT JOIN core.trunk t USING (trunk_id) "
                                  "WHERE r.name = $1",
                                  (const struct pg_param[]){PG_TEXT(view_of(a->v[0]))}, 1, &was)
                      : ctl_fail(CTL_USAGE, "usage: headgatectl %s", ROUTE_SET);

    if (rc == CTL_OK && pg_rows(was) == 0) {
        rc = ctl_fail(CTL_REFUSED, "no route '%s' (route list shows them)", a->v[0]);
    }
    if (rc == CTL_OK) {
        row = (struct route_row){
            .r = {.name = pg_text(was, 0, 0),
                  .prefix = pg_text(was, 0, 1),
                  .next_hop = pg_text(was, 0, 2),
                  .kind = view_eq(pg_text(was, 0, 4), VIEW("emergency")) ? ROUTE_EMERGENCY
                                                                         : ROUTE_NEXT_HOP,
                  .priority = (uint32_t)pg_u64(was, 0, 5),
                  .weight = (uint32_t)pg_u64(was, 0, 6),
                  .max_channels = (uint32_t)pg_u64(was, 0, 7),
                  .when = {.days = (uint8_t)pg_u64(was, 0, 8),
                           .from_min = (uint16_t)pg_u64(was, 0, 9),
                           .to_min = (uint16_t)pg_u64(was, 0, 10),
                           .utc_offset_min = (int16_t)((int)pg_u64(was, 0, 11) - 840)}},
            .trunk = pg_text(was, 0, 3)};
        take_route_options(&o, &row);
        opt_end(&o, 1, ROUTE_SET);
        rc = o.rc == CTL_OK && o.taken == 0
                 ? ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", ROUTE_SET)
                 : o.rc;
    }
    if (rc == CTL_OK) {
        rc = write_route(c, &row,
                         "UPDATE core.route SET prefix = $2, next_hop = $3, trunk_id = " TRUNK_OF
                         ", kind = $5, priority = $6, weight = $7, max_channels = $8, days = $9, "
                         "from_min = $10, to_min = $11, utc_offset_min = $12 WHERE name = $1 "
                         "RETURNING route_id",
                         false);
    }
    pg_result_free(was);
    return rc;
}

/* Hours as route_time_parse() reads them. */
#define TIME_SQL                                                                                   \
    "CASE WHEN days IN (0, 127) AND from_min = to_min THEN 'always' ELSE concat_ws(' ', CASE "     \
    "WHEN days IN (0, 127) THEN 'daily' ELSE (SELECT string_agg(d, ',' ORDER BY i) FROM "          \
    "unnest('{mon,tue,wed,thu,fri,sat,sun}'::text[]) WITH ORDINALITY AS x(d, i) WHERE "            \
    "days::int >> (i::int - 1) & 1 = 1) END, CASE WHEN from_min <> to_min THEN "                   \
    "format('%s-%s', to_char(make_time(from_min / 60, from_min % 60, 0), 'HH24:MI'), "             \
    "to_char(make_time(to_min / 60, to_min % 60, 0), 'HH24:MI')) END, CASE WHEN "                  \
    "utc_offset_min <> 0 THEN CASE WHEN utc_offset_min < 0 THEN '-' ELSE '+' END || "              \
    "to_char(make_time(abs(utc_offset_min) / 60, abs(utc_offset_min) % 60, 0), 'HH24:MI') END) "   \
    "END"

int ctl_route_list(struct ctl *c, struct ctl_args *a)
{
    return show_rows(c, a, "route list",
                     "SELECT r.name, kind, prefix, r.priority, weight, coalesce(next_hop, ''), "
                     "coalesce(t.name, ''), r.max_channels, " TIME_SQL
                     " FROM core.route r LEFT JOIN core.trunk t USING (trunk_id) ORDER BY kind, "
                     "prefix, r.priority, r.name",
                     (const char *const[]){"name", "kind", "prefix", "priority", "weight",
                                           "next_hop", "trunk", "max_channels", "time", NULL});
}

int ctl_route_remove(struct ctl *c, struct ctl_args *a)
{
    return remove_row(c, a, "route remove NAME", "DELETE FROM core.route WHERE name = $1", "route");
}

/* ---- dial rules ---- */

/* "7", "7-11", "any" */
static void take_digits(struct opts *o, struct dial_rule *r)
{
    struct view v = {0};
    uint64_t min = 0, max = 0;
    size_t dash = 0;

    opt_text(o, "--digits", &v);
    if (v.p == NULL) {
        return;
    }
    dash = v.n;
    (void)view_find(v, '-', &dash);
    if (!view_eq(v, VIEW("any")) &&
        (view_to_u64(view_sub(v, 0, dash), 32, &min) != E_OK ||
         view_to_u64(dash < v.n ? view_sub(v, dash + 1, v.n) : v, 32, &max) != E_OK || max < min ||
         max == 0)) {
        o->rc = ctl_fail(CTL_USAGE, "--digits takes N, MIN-MAX (up to 32) or any, not '%.*s'",
                         (int)v.n, v.p);
        return;
    }
    r->min_digits = (uint8_t)min;
    r->max_digits = (uint8_t)max;
}

static void take_rule_options(struct opts *o, struct dial_rule *r)
{
    opt_text(o, "--prefix", &r->prefix);
    take_digits(o, r);
    opt_number(o, "--rank", 65535, &r->rank);
    opt_number(o, "--strip", 16, &r->strip);
    opt_text(o, "--add", &r->add);
    opt_yes(o, "--feature", &r->is_feature);
    opt_yes(o, "--block", &r->blocked);
}

static int write_rule(struct ctl *c, const struct dial_rule *r, const char *sql, bool is_new)
{
    const char *fault = r->name.n > TRUNK_NAME_MAX ? "name: more than 63 octets" : rule_fault(r);
    char n[4][OPT_TEXT_MAX];
    struct pg_result *result = NULL;
    int rc = fault != NULL ? ctl_fail(CTL_USAGE, "%s", fault) : CTL_OK;

    if (rc != CTL_OK) {
        return rc;
    }
    const struct pg_param p[] = {
        PG_TEXT(r->name),
        opt_text_param(r->prefix),
        opt_uint_param(r->min_digits, n[0]),
        opt_uint_param(r->max_digits, n[1]),
        opt_uint_param(r->rank, n[2]),
        opt_uint_param(r->strip, n[3]),
        opt_text_param(r->add),
        opt_bool_param(r->is_feature),
        opt_bool_param(r->blocked),
    };
    rc = ctl_query(c, sql, p, sizeof p / sizeof *p, &result);
    if (rc == CTL_OK && pg_rows(result) == 0) {
        rc = ctl_fail(CTL_REFUSED,
                      is_new ? "rule '%.*s' exists already (rule set changes it)"
                             : "no rule '%.*s' (rule list shows them)",
                      (int)r->name.n, r->name.p);
    }
    pg_result_free(result);
    return rc;
}

int ctl_rule_add(struct ctl *c, struct ctl_args *a)
{
    struct dial_rule r = {.rank = 100};
    struct opts o = {.a = a};

    take_rule_options(&o, &r);
    opt_end(&o, 2, RULE_ADD);
    if (o.rc != CTL_OK) {
        return o.rc;
    }
    r.name = view_of(a->v[0]);
    r.prefix = view_of(a->v[1]);
    return write_rule(c, &r,
                      "INSERT INTO core.dial_rule (name, prefix, min_digits, max_digits, rank, "
                      "strip, add_digits, is_feature, blocked) VALUES ($1, $2, $3, $4, $5, $6, $7, "
                      "$8, $9) ON CONFLICT (name) DO NOTHING RETURNING rule_id",
                      true);
}

int ctl_rule_set(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *was = NULL;
    struct dial_rule r;
    struct opts o = {.a = a};
    int rc = a->n > 0
                 ? ctl_query(c,
                             "SELECT name, prefix, min_digits, max_digits, rank, strip, "
                             "add_digits, is_feature, blocked FROM core.dial_rule WHERE name = $1",
                             (const struct pg_param[]){PG_TEXT(view_of(a->v[0]))}, 1, &was)
                 : ctl_fail(CTL_USAGE, "usage: headgatectl %s", RULE_SET);

    if (rc == CTL_OK && pg_rows(was) == 0) {
        rc = ctl_fail(CTL_REFUSED, "no rule '%s' (rule list shows them)", a->v[0]);
    }
    if (rc == CTL_OK) {
        r = (struct dial_rule){.name = pg_text(was, 0, 0),
                               .prefix = pg_text(was, 0, 1),
                               .min_digits = (uint8_t)pg_u64(was, 0, 2),
                               .max_digits = (uint8_t)pg_u64(was, 0, 3),
                               .rank = (uint32_t)pg_u64(was, 0, 4),
                               .strip = (uint32_t)pg_u64(was, 0, 5),
                               .add = pg_text(was, 0, 6),
                               .is_feature = pg_bool(was, 0, 7),
                               .blocked = pg_bool(was, 0, 8)};
        take_rule_options(&o, &r);
        opt_end(&o, 1, RULE_SET);
        rc = o.rc == CTL_OK && o.taken == 0
                 ? ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", RULE_SET)
                 : o.rc;
    }
    if (rc == CTL_OK) {
        rc = write_rule(c, &r,
                        "UPDATE core.dial_rule SET prefix = $2, min_digits = $3, max_digits = $4, "
                        "rank = $5, strip = $6, add_digits = $7, is_feature = $8, blocked = $9 "
                        "WHERE name = $1 RETURNING rule_id",
                        false);
    }
    pg_result_free(was);
    return rc;
}

int ctl_rule_list(struct ctl *c, struct ctl_args *a)
{
    return show_rows(c, a, "rule list",
                     "SELECT name, prefix, CASE WHEN max_digits = 0 THEN 'any' ELSE "
                     "min_digits || '-' || max_digits END, rank, strip, add_digits, CASE WHEN "
                     "is_feature THEN 'yes' ELSE 'no' END, CASE WHEN blocked THEN 'yes' ELSE 'no' "
                     "END FROM core.dial_rule ORDER BY length(prefix) DESC, prefix, rank, name",
                     (const char *const[]){"name", "prefix", "digits", "rank", "strip", "add",
                                           "feature", "block", NULL});
}

int ctl_rule_remove(struct ctl *c, struct ctl_args *a)
{
    return remove_row(c, a, "rule remove NAME", "DELETE FROM core.dial_rule WHERE name = $1",
                      "rule");
}
