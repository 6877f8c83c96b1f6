/* Dial rules: what the keys that somebody dialled stand for. */
#include <stdio.h>
#include <string.h>

#include "admin_api/res_routing.h"

#define RULE                                                                                       \
    "json_build_object('rule_id', d.rule_id, 'name', d.name, 'prefix', d.prefix, 'min_digits', "   \
    "d.min_digits, 'max_digits', d.max_digits, 'rank', d.rank, 'strip', d.strip, 'add_digits', "   \
    "d.add_digits, 'is_feature', d.is_feature, 'blocked', d.blocked)"
#define RULE_BY_ID "SELECT " RULE " FROM core.dial_rule d WHERE d.rule_id = $1::bigint"

void routing_list_dial_rules(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {res_param(r, "name"), res_param(r, "prefix")};

    api_list(r, a,
             "SELECT " RULE ", d.rule_id FROM core.dial_rule d WHERE ($1::bigint IS NULL OR "
             "d.rule_id > $1::bigint) AND ($3::text IS NULL OR d.name = $3::text) AND ($4::text "
             "IS NULL OR d.prefix = $4::text) ORDER BY d.rule_id LIMIT $2::bigint",
             p, 2);
}

void routing_get_dial_rule(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "rule_id");

    api_get(r, a, r->for_update ? RULE_BY_ID " FOR UPDATE OF d" : RULE_BY_ID, &id, 1);
}

static bool read_rule(const json_t *b, struct dial_rule *out, struct api_answer *a)
{
    *out = (struct dial_rule){.name = api_text(b, "name"),
                              .prefix = api_text(b, "prefix"),
                              .min_digits = (uint8_t)api_int(b, "min_digits", 0),
                              .max_digits = (uint8_t)api_int(b, "max_digits", 0),
                              .rank = (uint32_t)api_int(b, "rank", 100),
                              .strip = (uint32_t)api_int(b, "strip", 0),
                              .add = api_text(b, "add_digits"),
                              .is_feature = api_bool(b, "is_feature", false),
                              .blocked = api_bool(b, "blocked", false)};
    return routing_name(a, out->name, TRUNK_NAME_MAX) && !routing_fault(a, rule_fault(out));
}

static bool write_rule(struct api_request *r, struct api_answer *a, const struct dial_rule *d,
                       const char *sql, char key[RES_INT_TEXT])
{
    static const char *const pointers[] = {"dial_rule_name_key", "/name", NULL};
    const uint64_t numbers[] = {d->min_digits, d->max_digits, d->rank, d->strip};
    char n[4][RES_INT_TEXT];

    for (size_t i = 0; i < 4; i++) {
        snprintf(n[i], sizeof n[i], "%llu", (unsigned long long)numbers[i]);
    }
    const struct pg_param p[] = {
        res_param(r, "rule_id"),
        PG_TEXT(d->name),
        PG_TEXT(d->prefix.p != NULL ? d->prefix : VIEW("")),
        PG_TEXT(view_of(n[0])),
        PG_TEXT(view_of(n[1])),
        PG_TEXT(view_of(n[2])),
        PG_TEXT(view_of(n[3])),
        PG_TEXT(d->add.p != NULL ? d->add : VIEW("")),
        PG_TEXT(d->is_feature ? VIEW("true") : VIEW("false")),
        PG_TEXT(d->blocked ? VIEW("true") : VIEW("false")),
    };
    return res_ask(r, a, sql, p, sizeof p / sizeof *p, pointers, key, RES_INT_TEXT) &&
           routing_written(a, key);
}

#define COLUMNS "name, prefix, min_digits, max_digits, rank, strip, add_digits, is_feature, blocked"
#define VALUES                                                                                     \
    "$2::text, $3::text, $4::smallint, $5::smallint, $6::integer, $7::smallint, $8::text, "        \
    "$9::boolean, $10::boolean"

void routing_create_dial_rule(struct api_request *r, struct api_answer *a)
{
    struct dial_rule row;
    char key[RES_INT_TEXT];

    if (read_rule(r->body, &row, a) &&
        write_rule(r, a, &row,
                   "INSERT INTO core.dial_rule (" COLUMNS ") SELECT " VALUES
                   " WHERE $1::bigint IS NULL RETURNING rule_id",
                   key)) {
        api_get(r, a, RULE_BY_ID, &PG_TEXT(view_of(key)), 1);
        res_created(a, "dial-rules", key);
    }
}

void routing_update_dial_rule(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "rule_id");
    struct dial_rule row;
    char key[RES_INT_TEXT];

    if (read_rule(r->merged, &row, a) &&
        write_rule(r, a, &row,
                   "UPDATE core.dial_rule SET (" COLUMNS ") = ROW(" VALUES
                   ") WHERE rule_id = $1::bigint RETURNING rule_id",
                   key)) {
        api_get(r, a, RULE_BY_ID, &id, 1);
    }
}

void routing_delete_dial_rule(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "rule_id");
    char key[RES_INT_TEXT];

    if (res_ask(r, a, "DELETE FROM core.dial_rule WHERE rule_id = $1::bigint RETURNING rule_id",
                &id, 1, NULL, key, sizeof key) &&
        routing_written(a, key)) {
        a->status = 204;
    }
}
