/* Routes, and emergency routes: the same rows of two kinds, each kind with a collection of its own
 * so that nobody turns one into the other by a field. */
#include <stdio.h>
#include <string.h>

#include "admin_api/res_routing.h"
#include "routing/plan_time.h"

#define WEEKDAYS                                                                                   \
    "(SELECT string_agg(d, ',' ORDER BY i) FROM "                                                  \
    "unnest('{mon,tue,wed,thu,fri,sat,sun}'::text[]) WITH ORDINALITY AS x(d, i) WHERE "            \
    "r.days::int >> (i::int - 1) & 1 = 1)"
/* As route_time_parse() reads it. */
#define HOURS                                                                                      \
    "CASE WHEN r.days IN (0, 127) AND r.from_min = r.to_min THEN 'always' ELSE concat_ws(' ', "    \
    "CASE WHEN r.days IN (0, 127) THEN 'daily' ELSE " WEEKDAYS " END, CASE WHEN r.from_min <> "    \
    "r.to_min THEN format('%s-%s', to_char(make_time(r.from_min / 60, r.from_min % 60, 0), "       \
    "'HH24:MI'), to_char(make_time(r.to_min / 60, r.to_min % 60, 0), 'HH24:MI')) END, CASE WHEN "  \
    "r.utc_offset_min <> 0 THEN CASE WHEN r.utc_offset_min < 0 THEN '-' ELSE '+' END || "          \
    "to_char(make_time(abs(r.utc_offset_min) / 60, abs(r.utc_offset_min) % 60, 0), 'HH24:MI') "    \
    "END) END"
#define ROUTE                                                                                      \
    "json_build_object('route_id', r.route_id, 'name', r.name, 'prefix', r.prefix, 'next_hop', "   \
    "r.next_hop, 'trunk_id', r.trunk_id, 'trunk', t.name, 'priority', r.priority, 'weight', "      \
    "r.weight, 'max_channels', r.max_channels, 'hours', " HOURS ")"
#define FROM_ROUTE  " FROM core.route r LEFT JOIN core.trunk t USING (trunk_id) WHERE "
#define ROUTE_BY_ID "SELECT " ROUTE FROM_ROUTE "r.route_id = $1::bigint AND r.kind = $2"

struct kind {
    enum route_kind kind;
    const char *word, *path;
};
static const struct kind NEXT_HOP = {ROUTE_NEXT_HOP, "next_hop", "routes"},
                         EMERGENCY = {ROUTE_EMERGENCY, "emergency", "emergency-routes"};

/* ---- reading -----------------------------------------------------------------------------------
 */
static void list(struct api_request *r, struct api_answer *a, const struct kind *k)
{
    const struct pg_param p[] = {PG_TEXT(view_of(k->word)), res_param(r, "name"),
                                 res_param(r, "trunk_id"), res_param(r, "prefix")};

    api_list(r, a,
             "SELECT " ROUTE ", r.route_id" FROM_ROUTE
             "($1::bigint IS NULL OR r.route_id > $1::bigint) AND r.kind = $3 AND ($4::text IS "
             "NULL OR r.name = $4::text) AND ($5::bigint IS NULL OR r.trunk_id = $5::bigint) AND "
             "($6::text IS NULL OR r.prefix = $6::text) ORDER BY r.route_id LIMIT $2::bigint",
             p, 4);
}

static void get(struct api_request *r, struct api_answer *a, const struct kind *k)
{
    const struct pg_param p[] = {res_param(r, "route_id"), PG_TEXT(view_of(k->word))};

    api_get(r, a, r->for_update ? ROUTE_BY_ID " FOR UPDATE OF r" : ROUTE_BY_ID, p, 2);
}

/* ---- writing -----------------------------------------------------------------------------------
 */
/* False: the answer points at what is wrong. */
static bool read_route(const json_t *body, const struct kind *k, struct route *out,
                       struct api_answer *a)
{
    struct view hours = api_text(body, "hours");

    *out = (struct route){.kind = k->kind,
                          .name = api_text(body, "name"),
                          .prefix = api_text(body, "prefix"),
                          .next_hop = api_text(body, "next_hop"),
                          .trunk_id = (uint64_t)api_int(body, "trunk_id", 0),
                          .priority = (uint32_t)api_int(body, "priority", 100),
                          .weight = (uint32_t)api_int(body, "weight", 1),
                          .max_channels = (uint32_t)api_int(body, "max_channels", 0)};
    if (hours.n > 0 && route_time_parse(hours, &out->when) != E_OK) {
        api_problem(a, 422, "invalid", "/hours",
                    "not hours as in \"mon-fri 08:00-18:00 +01:00\", or always");
        return false;
    }
    return routing_name(a, out->name, SNAPSHOT_NAME_MAX) && !routing_fault(a, route_fault(out));
}

/* The trunk stays until the request is over. *out_disabled: it takes no calls. */
static bool find_trunk(struct api_request *r, struct api_answer *a, const struct route *row,
                       bool *out_disabled)
{
    char id[RES_INT_TEXT], disabled[8] = "f";

    if (row->trunk_id != 0) {
        snprintf(id, sizeof id, "%llu", (unsigned long long)row->trunk_id);
        if (!res_ask(r, a,
                     "SELECT disabled FROM core.trunk WHERE trunk_id = $1::bigint FOR KEY SHARE",
                     &PG_TEXT(view_of(id)), 1, NULL, disabled, sizeof disabled)) {
            return false;
        }
        if (disabled[0] == 0) {
            api_problem(a, 422, "invalid", "/trunk_id", "there is no trunk %s", id);
        }
    }
    *out_disabled = disabled[0] == 't';
    return disabled[0] != 0;
}

/* What both statements write: $1 is the kind and $2 the key (of an update). */
static bool write_route(struct api_request *r, struct api_answer *a, const struct kind *k,
                        const struct route *row, const char *sql, char key[RES_INT_TEXT])
{
    static const char *const pointers[] = {"route_name_key", "/name", "route_trunk_id_fkey",
                                           "/trunk_id", NULL};
    const uint64_t numbers[] = {row->trunk_id,     row->priority,  row->weight,
                                row->max_channels, row->when.days, row->when.from_min,
                                row->when.to_min};
    char n[8][RES_INT_TEXT];

    for (size_t i = 0; i < 7; i++) {
        snprintf(n[i], sizeof n[i], "%llu", (unsigned long long)numbers[i]);
    }
    snprintf(n[7], sizeof n[7], "%d", row->when.utc_offset_min);
    const struct pg_param p[] = {
        PG_TEXT(view_of(k->word)),
        res_param(r, "route_id"),
        PG_TEXT(row->name),
        PG_TEXT(row->prefix),
        row->next_hop.n > 0 ? PG_TEXT(row->next_hop) : PG_NULL,
        row->trunk_id != 0 ? PG_TEXT(view_of(n[0])) : PG_NULL,
        PG_TEXT(view_of(n[1])),
        PG_TEXT(view_of(n[2])),
        PG_TEXT(view_of(n[3])),
        PG_TEXT(view_of(n[4])),
        PG_TEXT(view_of(n[5])),
        PG_TEXT(view_of(n[6])),
        PG_TEXT(view_of(n[7])),
    };
    return res_ask(r, a, sql, p, sizeof p / sizeof *p, pointers, key, RES_INT_TEXT) &&
           routing_written(a, key);
}

#define VALUES                                                                                     \
    "$3::text, $4::text, $5::text, $6::bigint, $7::integer, $8::integer, $9::integer, "            \
    "$10::smallint, "                                                                              \
    "$11::smallint, $12::smallint, $13::smallint"
#define COLUMNS                                                                                    \
    "name, prefix, next_hop, trunk_id, priority, weight, max_channels, days, from_min, to_min, "   \
    "utc_offset_min"

static void show(struct api_request *r, struct api_answer *a, const struct kind *k, const char *key)
{
    const struct pg_param p[] = {PG_TEXT(view_of(key)), PG_TEXT(view_of(k->word))};

    api_get(r, a, ROUTE_BY_ID, p, 2);
}

static void create(struct api_request *r, struct api_answer *a, const struct kind *k)
{
    struct route row;
    char key[RES_INT_TEXT];
    bool is_disabled = false;

    if (read_route(r->body, k, &row, a) && find_trunk(r, a, &row, &is_disabled) &&
        write_route(r, a, k, &row,
                    "INSERT INTO core.route (kind, " COLUMNS ") SELECT $1::text, " VALUES
                    " WHERE $2::bigint IS NULL RETURNING route_id",
                    key)) {
        show(r, a, k, key);
        res_created(a, k->path, key);
    }
}

static void update(struct api_request *r, struct api_answer *a, const struct kind *k)
{
    struct route row;
    char key[RES_INT_TEXT];
    bool is_disabled = false;

    if (read_route(r->merged, k, &row, a) && find_trunk(r, a, &row, &is_disabled) &&
        (k->kind != ROUTE_EMERGENCY || !is_disabled ||
         routing_keeps_emergency(r, a, res_param(r, "route_id"), PG_NULL)) &&
        write_route(r, a, k, &row,
                    "UPDATE core.route SET (" COLUMNS ") = ROW(" VALUES
                    ") WHERE route_id = $2::bigint AND kind = $1 RETURNING route_id",
                    key)) {
        show(r, a, k, key);
    }
}

static void drop(struct api_request *r, struct api_answer *a, const struct kind *k)
{
    const struct pg_param p[] = {res_param(r, "route_id"), PG_TEXT(view_of(k->word))};
    char key[RES_INT_TEXT];

    if ((k->kind != ROUTE_EMERGENCY || routing_keeps_emergency(r, a, p[0], PG_NULL)) &&
        res_ask(r, a,
                "DELETE FROM core.route WHERE route_id = $1::bigint AND kind = $2 RETURNING "
                "route_id",
                p, 2, NULL, key, sizeof key) &&
        routing_written(a, key)) {
        a->status = 204;
    }
}

/* ---- both kinds --------------------------------------------------------------------------------
 */
void routing_list_routes(struct api_request *r, struct api_answer *a)
{
    list(r, a, &NEXT_HOP);
}

void routing_get_route(struct api_request *r, struct api_answer *a)
{
    get(r, a, &NEXT_HOP);
}

void routing_create_route(struct api_request *r, struct api_answer *a)
{
    create(r, a, &NEXT_HOP);
}

void routing_update_route(struct api_request *r, struct api_answer *a)
{
    update(r, a, &NEXT_HOP);
}

void routing_delete_route(struct api_request *r, struct api_answer *a)
{
    drop(r, a, &NEXT_HOP);
}

void routing_list_emergency_routes(struct api_request *r, struct api_answer *a)
{
    list(r, a, &EMERGENCY);
}

void routing_get_emergency_route(struct api_request *r, struct api_answer *a)
{
    get(r, a, &EMERGENCY);
}

void routing_create_emergency_route(struct api_request *r, struct api_answer *a)
{
    create(r, a, &EMERGENCY);
}

void routing_update_emergency_route(struct api_request *r, struct api_answer *a)
{
    update(r, a, &EMERGENCY);
}

void routing_delete_emergency_route(struct api_request *r, struct api_answer *a)
{
    drop(r, a, &EMERGENCY);
}
