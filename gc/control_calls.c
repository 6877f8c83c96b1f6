/* Calls over the control socket: lists, one with its ladder, its end. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gc/control_int.h"
#include "gc/worker.h"

#define CALLS_MAX     1000
#define RECENT_MAX    100 /* when no limit is given */
#define LADDER_MAX    512
#define LADDER_OCTETS ((size_t)6 * 1024 * 1024)
#define REASON_MAX    120

json_t *control_call_row(const struct trace_call *c, bool whole)
{
    json_t *o = json_object();

    control_put(o, "id", control_cstr(c->id));
    control_put(o, "call_id", control_cstr(c->call_id));
    control_put(o, "caller", control_cstr(c->caller));
    control_put(o, "called", control_cstr(c->called));
    control_put(o, "state", json_string(trace_state_name(c->state)));
    control_put(o, "started", control_when(c->started_us));
    control_put(o, "answered", control_when(c->answered_us));
    control_put(o, "route", control_cstr(c->route));
    control_put(o, "worker", control_count(c->worker));
    if (whole || c->state == TRACE_ENDED) {
        control_put(o, "ended", control_when(c->ended_us));
        control_put(o, "status", control_count(c->status));
        control_put(o, "end_by", control_cstr(c->end_by));
    }
    control_put(o, "routed", control_cstr(c->routed));
    control_put(o, "caller_line", control_count(c->caller_line));
    control_put(o, "callee_line", control_count(c->callee_line));
    control_put(o, "trunk_in", control_cstr(c->trunk_in));
    control_put(o, "trunk_out", control_cstr(c->trunk_out));
    return o;
}

/* ---- lists -------------------------------------------------------------------------------------
 */
struct filter { /* empty and 0: all */
    struct view number, trunk, state;
    uint64_t line;
};

static bool is_one_of(struct view v, const char *a, const char *b, const char *c)
{
    return v.n == 0 || view_eq(v, view_of(a)) || view_eq(v, view_of(b)) ||
           (c != NULL && view_eq(v, view_of(c)));
}

static bool fits(const void *arg, const struct trace_call *c)
{
    const struct filter *f = arg;

    return is_one_of(f->number, c->caller, c->called, c->routed) &&
           is_one_of(f->trunk, c->trunk_in, c->trunk_out, NULL) &&
           (f->state.n == 0 || view_eq(f->state, view_of(trace_state_name(c->state)))) &&
           (f->line == 0 || f->line == c->caller_line || f->line == c->callee_line);
}

static struct view text_or_none(const struct control_ask *a, const char *key)
{
    return control_view(json_object_get(a->request, key));
}

static void filter_read(const struct control_ask *a, struct filter *f)
{
    json_int_t line = json_integer_value(json_object_get(a->request, "line"));

    *f = (struct filter){.number = text_or_none(a, "number"),
                         .trunk = text_or_none(a, "trunk"),
                         .state = text_or_none(a, "state"),
                         .line = line > 0 ? (uint64_t)line : 0};
}

static uint64_t order_of(const struct trace_call *c)
{
    return c->state == TRACE_ENDED ? c->ended_us : c->started_us;
}

static int newest_first(const void *va, const void *vb)
{
    uint64_t a = order_of(va), b = order_of(vb);

    return (a < b) - (a > b);
}

static void list_calls(struct control_ask *a, json_t *answer, bool ended, size_t limit)
{
    json_t *rows = json_array();
    size_t n = 0, max = (size_t)a->cfg->n_workers * limit;
    struct trace_call *all = mem_zalloc_array(max, sizeof *all);
    struct filter f;

    filter_read(a, &f);
    control_put(answer, "calls", rows);
    if (all == NULL) {
        a->error = "out of memory";
        return;
    }
    for (unsigned i = 0; i < a->cfg->n_workers; i++) {
        n += trace_list_if(workers_trace(a->cfg->workers, i), ended, fits, &f, all + n, limit);
    }
    if (n > 0) {
        qsort(all, n, sizeof *all, newest_first);
    }
    for (size_t i = 0; i < n && i < limit; i++) {
        control_add(rows, control_call_row(&all[i], false));
    }
    if (n > limit || (!ended && n == limit)) {
        control_put(answer, "truncated", json_true());
    }
    mem_free(all);
}

void control_op_calls(struct control_ask *a, json_t *answer)
{
    list_calls(a, answer, false, CALLS_MAX);
}

void control_op_recent(struct control_ask *a, json_t *answer)
{
    json_t *limit = json_object_get(a->request, "limit");
    json_int_t n = limit != NULL ? json_integer_value(limit) : RECENT_MAX;

    if (n <= 0 || n > CALLS_MAX) {
        a->error = "limit: 1 to 1000";
        return;
    }
    list_calls(a, answer, true, (size_t)n);
}

/* ---- one call ----------------------------------------------------------------------------------
 */
/* Entries copied out while the trace is locked; made into JSON after. */
struct ladder {
    struct trace_entry entry[LADDER_MAX];
    size_t at[LADDER_MAX]; /* of the octets in text */
    size_t n, text_n, text_max;
    char *text;
    bool cut;
};

static void copy_entry(void *arg, const struct trace_entry *e)
{
    struct ladder *l = arg;
    size_t need = e->octets.n + e->note.n;

    if (l->n == LADDER_MAX || l->text_n + need > l->text_max) {
        l->cut = true;
        return;
    }
    l->entry[l->n] = *e;
    l->at[l->n] = l->text_n;
    l->n++;
    if (e->octets.n > 0) {
        memcpy(l->text + l->text_n, e->octets.p, e->octets.n);
    }
    if (e->note.n > 0) {
        memcpy(l->text + l->text_n + e->octets.n, e->note.p, e->note.n);
    }
    l->text_n += need;
}

static json_t *entry_row(const struct ladder *l, size_t i, bool octets)
{
    const struct trace_entry *e = &l->entry[i];
    const char *p = l->text + l->at[i];
    json_t *o = json_object();

    control_put(o, "at_us", control_count(e->at_us));
    control_put(o, "from", control_address(&e->from));
    control_put(o, "to", control_address(&e->to));
    control_put(o, "text", control_text(view_from(p, e->text.n)));
    control_put(o, "mac", json_string(trace_mac_name(e->mac)));
    control_put(o, "note", control_text(view_from(p + e->octets.n, e->note.n)));
    if (octets) {
        control_put(o, "octets", control_text(view_from(p, e->octets.n)));
    }
    return o;
}

static struct view id_of(struct control_ask *a)
{
    const json_t *id = json_object_get(a->request, "id");

    if (!json_is_string(id) || json_string_length(id) == 0) {
        a->error = "id is missing";
        return VIEW("");
    }
    return view_from(json_string_value(id), json_string_length(id));
}

static bool find_call(struct control_ask *a, struct view id, struct trace_call *c,
                      void (*fn)(void *arg, const struct trace_entry *e), void *arg)
{
    for (unsigned i = 0; i < a->cfg->n_workers; i++) {
        if (trace_find(workers_trace(a->cfg->workers, i), id, c, fn, arg)) {
            return true;
        }
    }
    return false;
}

static bool wants(const struct control_ask *a, const char *what) /* unless it says no */
{
    return !json_is_false(json_object_get(a->request, what));
}

static struct ladder *ladder_new(void)
{
    struct ladder *l = mem_zalloc(sizeof *l);

    if (l != NULL) {
        l->text_max = LADDER_OCTETS;
        l->text = mem_zalloc(l->text_max);
        if (l->text == NULL) {
            mem_free(l);
            l = NULL;
        }
    }
    return l;
}

static void put_ladder(const struct control_ask *a, const struct ladder *l, json_t *answer)
{
    json_t *rows = json_array();

    control_put(answer, "ladder", rows);
    for (size_t i = 0; i < l->n; i++) {
        control_add(rows, entry_row(l, i, wants(a, "octets")));
    }
    if (l->cut) {
        control_put(answer, "truncated", json_true());
    }
}

void control_op_call(struct control_ask *a, json_t *answer)
{
    struct view id = id_of(a);
    struct ladder *l = wants(a, "ladder") ? ladder_new() : NULL;
    struct trace_call c;

    if (l == NULL && wants(a, "ladder")) {
        a->error = "out of memory";
    } else if (a->error == NULL && !find_call(a, id, &c, l != NULL ? copy_entry : NULL, l)) {
        a->error = "no such call";
    }
    if (a->error == NULL) {
        control_put(answer, "call", control_call_row(&c, true));
    }
    if (a->error == NULL && l != NULL) {
        put_ladder(a, l, answer);
    }
    if (l != NULL) {
        mem_free(l->text);
    }
    mem_free(l);
}

/* Text of a Reason header: who asked is for the log, why is for the two ends. */
static void reason_of(const struct control_ask *a, char dst[REASON_MAX + 1])
{
    struct view v = view_sub(text_or_none(a, "reason"), 0, REASON_MAX);

    v = v.n > 0 ? v : VIEW("ended by the operator");
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        dst[i] = (char)(c >= ' ' && c < 0x7F ? c : '?');
    }
    dst[v.n] = 0;
}

void control_op_end(struct control_ask *a, json_t *answer)
{
    struct view id = id_of(a);
    char reason[REASON_MAX + 1];
    struct trace_call c;

    if (a->error != NULL) {
        return;
    }
    if (!find_call(a, id, &c, NULL, NULL)) {
        a->error = "no such call";
    } else if (c.state == TRACE_ENDED) {
        a->error = "that call has ended";
    } else if (json_is_true(json_object_get(a->request, "spare_emergency")) &&
               strcmp(c.route, "emergency") == 0) {
        a->error = "that is an emergency call";
    } else {
        reason_of(a, reason);
        LOG(LV_INFO, "control.end_call", KV("call", (const char *)c.id),
            KV("by", text_or_none(a, "by")));
        workers_end_call(a->cfg->workers, c.id, reason);
        control_put(answer, "id", control_cstr(c.id));
    }
}
