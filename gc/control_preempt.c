/* Calls that an administrator ends, and emergency modes in force. */
#include <string.h>

#include "base/mem.h"
#include "gc/control_int.h"
#include "gc/emergency_mode.h"
#include "gc/preempt.h"
#include "gc/worker.h"
#include "routing/snapshot.h"

static bool copy_text(const struct control_ask *a, const char *name, char *dst, size_t max)
{
    return view_to_cstr(control_view(json_object_get(a->request, name)), dst, max) == E_OK;
}

static const char *read_prefixes(const struct control_ask *a, struct preempt_order *o)
{
    const json_t *list = json_object_get(a->request, "prefixes"), *one = NULL;
    size_t i = 0;

    if (json_array_size(list) == 0 || json_array_size(list) > PREEMPT_PREFIXES_MAX) {
        return "prefixes: 1 to 16";
    }
    json_array_foreach(list, i, one)
    {
        struct view v = control_view(one);
        if (v.n == 0 || view_to_cstr(v, o->prefix[i], sizeof o->prefix[i]) != E_OK) {
            return "prefixes: not a prefix";
        }
    }
    o->n_prefixes = (unsigned)json_array_size(list);
    return NULL;
}

static uint64_t id_of_trunk(const struct control_ask *a, struct view name)
{
    const struct trunk *t = snapshot_trunk_of_name(store_snapshot(a->cfg->store), name);
    uint64_t id = t != NULL ? t->trunk_id : 0;

    store_quiescent(a->cfg->store, a->cfg->n_workers);
    return id;
}

static const char *read_scope(const struct control_ask *a, struct preempt_order *o)
{
    struct view scope = control_view(json_object_get(a->request, "scope"));

    if (view_eq(scope, VIEW("region"))) {
        o->scope = PREEMPT_REGION;
        return read_prefixes(a, o);
    }
    if (view_eq(scope, VIEW("trunk"))) {
        o->scope = PREEMPT_TRUNK;
        o->trunk_id = id_of_trunk(a, control_view(json_object_get(a->request, "trunk")));
        return o->trunk_id == 0 ? "no such trunk" : NULL;
    }
    if (view_eq(scope, VIEW("call"))) {
        o->scope = PREEMPT_CALL;
        return copy_text(a, "call", o->what, sizeof o->what) && o->what[0] != 0 ? NULL
                                                                                : "call: none";
    }
    if (view_eq(scope, VIEW("number"))) {
        o->scope = PREEMPT_NUMBER;
        return copy_text(a, "number", o->what, sizeof o->what) && o->what[0] != 0 ? NULL
                                                                                  : "number: none";
    }
    return "scope: none of call, number, trunk, region";
}

static const char *read_order(const struct control_ask *a, struct preempt_order *o)
{
    json_int_t max = json_integer_value(json_object_get(a->request, "max"));
    const json_t *rank = json_object_get(a->request, "below");
    struct view below = control_view(rank);

    if (!copy_text(a, "id", o->id, sizeof o->id) || !copy_text(a, "who", o->who, sizeof o->who) ||
        !copy_text(a, "approved", o->approved, sizeof o->approved) || o->id[0] == 0 ||
        o->who[0] == 0) {
        return "id, who: of whom";
    }
    if (max < 0 || max > 1000000) {
        return "max: 0 to 1000000";
    }
    o->max = (unsigned)max;
    o->dry_run = json_is_true(json_object_get(a->request, "dry_run"));
    if (rank != NULL && !json_is_null(rank) && !json_is_string(rank)) {
        return "below: an r-value"; /* all ranks would be another order */
    }
    o->below = below.n > 0 ? workers_rank(a->cfg->workers, below) : 0;
    if (below.n > 0 && o->below == 0) {
        return "below: no r-value that is known here";
    }
    return read_scope(a, o);
}

static json_t *row_of(const struct preempt_row *r)
{
    json_t *o = json_object();

    control_put(o, "call", control_cstr(r->call));
    control_put(o, "call_id", control_cstr(r->call_id));
    control_put(o, "caller", control_cstr(r->caller));
    control_put(o, "called", control_cstr(r->called));
    control_put(o, "rank", control_count(r->rank));
    control_put(o, "outcome", json_string(r->outcome));
    control_put(o, "had_by", r->had_by[0] != 0 ? control_cstr(r->had_by) : json_null());
    return o;
}

void control_op_preempt(struct control_ask *a, json_t *answer)
{
    struct preempt_order o = {.n_prefixes = 0};
    struct preempt_row *rows = mem_zalloc_array(PREEMPT_ROWS_MAX, sizeof *rows);
    struct preempt_found found = {.rows = 0};
    json_t *calls = json_array();

    a->error = read_order(a, &o);
    if (a->error == NULL && (rows == NULL || preempt_run(a->cfg->workers, &o, rows,
                                                         PREEMPT_ROWS_MAX, &found) != E_OK)) {
        a->error = "out of memory";
    }
    for (size_t i = 0; i < found.rows; i++) {
        control_add(calls, row_of(&rows[i]));
    }
    control_put(answer, "ended", control_count(o.dry_run ? 0 : found.calls));
    control_put(answer, "calls", calls);
    if (found.cut) {
        control_put(answer, "truncated", json_true());
    }
    mem_free(rows);
}

/* ---- emergency modes ---------------------------------------------------------------------------
 */
json_t *control_emergency_modes(const struct control_cfg *cfg)
{
    struct mode_shown v[EMERGENCY_MODES_MAX];
    size_t n = emergency_modes_view(cfg->workers, v, EMERGENCY_MODES_MAX);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();
        control_put(o, "id", control_count(v[i].id));
        control_put(o, "scope", json_string(v[i].scope));
        control_put(o, "share", control_count(v[i].share));
        control_put(o, "declared_by", control_cstr(v[i].declared_by));
        control_put(o, "declared_at", control_when(v[i].declared_us));
        control_put(o, "ends_at", control_when(v[i].ends_us));
        control_put(o, "reason", control_cstr(v[i].reason));
        control_add(list, o);
    }
    return list;
}

void control_op_emergency(struct control_ask *a, json_t *answer)
{
    control_put(answer, "emergency_modes", control_emergency_modes(a->cfg));
}
