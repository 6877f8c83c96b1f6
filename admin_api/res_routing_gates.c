/* What the gate controllers themselves say of routing: what would become of a call, how trunks are,
 * and which peers their configuration names. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin_api/live.h"
#include "admin_api/res_routing.h"

enum { ASK_MS = 3000, AFTER_S = 5 };

static void unavailable(struct api_answer *a, const char *type, const char *what)
{
    api_problem(a, 503, type, "", "%s", what);
    a->retry_after_s = AFTER_S;
}

/* ---- what would become of a call ---------------------------------------------------------------
 */
/* "2026-11-24T08:30:00Z", with a fraction or without; the document has checked its form. */
static bool seconds_of(const char *text, json_int_t *out)
{
    struct tm t = {.tm_isdst = 0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &t);

    if (end != NULL && *end == '.') {
        end++;
        end += strspn(end, "0123456789");
    }
    *out = (json_int_t)timegm(&t);
    return end != NULL && strcmp(end, "Z") == 0 && *out > 0;
}

static json_t *question(const json_t *body, struct api_answer *a)
{
    static const char *const names[] = {"number", "from", "from_trunk"};
    const char *at = json_string_value(json_object_get(body, "at"));
    json_t *ask = json_pack("{s:s}", "op", "route");
    json_int_t seconds = 0;

    for (size_t i = 0; ask != NULL && i < sizeof names / sizeof *names; i++) {
        json_t *v = json_object_get(body, names[i]);
        if (json_is_string(v) && json_object_set(ask, names[i], v) != 0) {
            json_decref(ask);
            ask = NULL;
        }
    }
    if (at != NULL && !seconds_of(at, &seconds)) {
        api_problem(a, 422, "invalid", "/at", "no time as in 2026-11-24T08:30:00Z");
    } else if (at != NULL && ask != NULL &&
               json_object_set_new(ask, "at", json_integer(seconds)) != 0) {
        json_decref(ask);
        ask = NULL;
    }
    if (ask == NULL) {
        unavailable(a, "unavailable", "out of memory");
    }
    return ask;
}

/* The gate says "from: belongs to no line", "number: neither ...", or "... no such trunk". */
static void refused(struct api_answer *a, const struct gate_answer *said)
{
    const char *why = gate_error(said);
    const char *pointer = strncmp(why, "number: ", 8) == 0 ? "/number"
                          : strncmp(why, "from: ", 6) == 0 ? "/from"
                          : strstr(why, "trunk") != NULL   ? "/from_trunk"
                                                           : "";

    if (pointer[0] != 0 && strchr(why, ':') != NULL) {
        why = strchr(why, ':') + 2;
    }
    api_problem(a, pointer[0] != 0 ? 422 : 503, pointer[0] != 0 ? "invalid" : "no-gate", pointer,
                "%s", why);
}

static json_t *decision(const struct gate_answer *g)
{
    static const struct {
        const char *name, *theirs;
    } fields[] = {{"outcome", "outcome"}, {"number", "number"},   {"rule", "rule"},
                  {"line_id", "line"},    {"targets", "targets"}, {"steps", "steps"}};
    json_t *o = json_pack("{s:s}", "node", g->node);

    for (size_t i = 0; o != NULL && i < sizeof fields / sizeof *fields; i++) {
        json_t *v = json_object_get(g->answer, fields[i].theirs);
        if (json_object_set(o, fields[i].name, v != NULL ? v : json_null()) != 0) {
            json_decref(o);
            o = NULL;
        }
    }
    return o;
}

void routing_test_route(struct api_request *r, struct api_answer *a)
{
    const char *node = json_string_value(json_object_get(r->body, "node"));
    struct gate_answer got = {.answer = NULL};
    json_t *ask = NULL;
    enum err e = E_OK;

    if (json_object_get(r->body, "from") != NULL &&
        json_object_get(r->body, "from_trunk") != NULL) {
        api_problem(a, 422, "invalid", "/from_trunk", "a call comes from a number or from a trunk");
        return;
    }
    ask = question(r->body, a);
    if (api_failed(a)) {
        json_decref(ask);
        return;
    }
    e = gates_ask(r->gates, node, ask, ASK_MS, &got);
    json_decref(ask);
    if (e == E_NOTFOUND && node != NULL) {
        api_problem(a, 422, "invalid", "/node", "there is no such gate controller");
    } else if (e == E_STATE) {
        refused(a, &got);
    } else if (e != E_OK) {
        unavailable(a, "no-gate", "no gate controller answers");
    } else {
        a->body = decision(&got);
    }
    gate_answers_free(&got, 1);
}

/* ---- of every node -----------------------------------------------------------------------------
 */
static void add(json_t *list, json_t *one)
{
    if (one != NULL) {
        IGNORE(json_array_append_new(list, one) == 0 ? E_OK : E_NOMEM, "then one is not shown");
    }
}

/* What each node that answers has, by `each`. */
static void ask_all(struct api_request *r, struct api_answer *a, const char *op,
                    void (*each)(json_t *items, const struct gate_answer *g))
{
    struct gate_answer *all = NULL;
    size_t n = live_ask_op(r, op, &all);
    json_t *items = json_array();
    bool is_cut = false;

    for (size_t i = 0; i < n; i++) {
        if (all[i].e == E_OK) {
            each(items, &all[i]);
            is_cut = is_cut || json_is_true(json_object_get(all[i].answer, "truncated"));
        }
    }
    a->body = json_pack("{s:o,s:b,s:o}", "items", items, "truncated", is_cut, "nodes",
                        live_reaches(all, n));
    live_free(all, n);
    if (a->body == NULL) {
        unavailable(a, "unavailable", "out of memory");
    }
}

static void add_states(json_t *items, const struct gate_answer *g)
{
    size_t i = 0;
    json_t *row = NULL;

    json_array_foreach(json_object_get(g->answer, "trunks"), i, row)
    {
        json_t *o = json_pack("{s:s}", "node", g->node);
        if (o != NULL && json_object_update(o, row) == 0) {
            add(items, o);
        } else {
            json_decref(o);
        }
    }
}

void routing_list_trunk_states(struct api_request *r, struct api_answer *a)
{
    ask_all(r, a, "trunks", add_states);
}

/* ---- peers -------------------------------------------------------------------------------------
 */
static void add_peers(json_t *items, const struct gate_answer *g)
{
    static const char *const kinds[][2] = {{"trusted", "trusted_address"},
                                           {"emergency_next_hops", "emergency_next_hop"}};
    size_t i = 0;
    json_t *one = NULL;

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        json_array_foreach(json_object_get(g->answer, kinds[k][0]), i, one)
        {
            add(items, json_pack("{s:s,s:s,s:O,s:n,s:n}", "kind", kinds[k][1], "node", g->node,
                                 "address", one, "trunk_id", "certificate_name"));
        }
    }
}

#define SQL_CERTIFIED                                                                              \
    "SELECT json_build_object('kind', 'certified_trunk', 'node', NULL, 'address', t.host, "        \
    "'trunk_id', t.trunk_id, 'certificate_name', coalesce(nullif(t.tls_name, ''), t.host)) FROM "  \
    "core.trunk t WHERE t.auth = 'certificate' ORDER BY t.trunk_id LIMIT 10000"

void routing_list_peers(struct api_request *r, struct api_answer *a)
{
    struct pg_result *rows = NULL;

    if (api_query(r, a, SQL_CERTIFIED, NULL, 0, NULL, &rows) == E_OK) {
        ask_all(r, a, "peers", add_peers);
    }
    for (size_t i = 0; !api_failed(a) && i < pg_rows(rows); i++) {
        add(json_object_get(a->body, "items"), api_row_json(a, rows, i, 0));
    }
    pg_result_free(rows);
}
