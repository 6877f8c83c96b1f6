/* A preemption at the nodes: all are told at the same time. With a highest number the nodes are
 * asked first which calls they would end, and each is given its part of the lowest ones. */
#include <stdio.h>
#include <string.h>

#include "admin_api/preemption.h"
#include "base/mem.h"

/* How many each node may end. */
struct shares {
    size_t n;
    char node[GATES_MAX][GATE_NAME_MAX];
    json_int_t may[GATES_MAX];
};

struct plan {
    const json_t *row;
    const struct shares *shares; /* NULL: as many as the row says */
    bool dry_run;
};

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

/* ---- the question ------------------------------------------------------------------------------
 */
static json_t *request_of(const struct plan *p, json_int_t max)
{
    const json_t *row = p->row;
    const char *scope = text_of(row, "scope");
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:b}", "op", "preempt", "who",
                          text_of(row, "by"), "approved", text_of(row, "approved_by"), "scope",
                          scope, "max", max, "below", text_of(row, "below"), "dry_run", p->dry_run);
    char id[24];

    (void)snprintf(id, sizeof id, "%lld",
                   (long long)json_integer_value(json_object_get(row, "id")));
    (void)json_object_set_new(o, "id", json_string(id));
    if (strcmp(scope, "region") == 0) {
        (void)json_object_set_new(o, "prefixes", live_member(row, "prefixes"));
    } else {
        (void)json_object_set_new(o, scope, live_member(row, scope));
    }
    return o;
}

static json_t *request_for(void *arg, const char *node)
{
    const struct plan *p = arg;

    if (p->shares == NULL) {
        return request_of(p, json_integer_value(json_object_get(p->row, "max")));
    }
    for (size_t i = 0; i < p->shares->n; i++) {
        if (strcmp(p->shares->node[i], node) == 0) {
            return p->shares->may[i] > 0 ? request_of(p, p->shares->may[i]) : NULL;
        }
    }
    return NULL;
}

/* ---- who may end how many ----------------------------------------------------------------------
 */
static bool can_end(const json_t *call)
{
    return strcmp(text_of(call, "outcome"), "would end") == 0;
}

/* The rank of a node's next one that could be ended, from *at on; -1: none is left. */
static json_int_t next_rank(const json_t *calls, size_t *at)
{
    while (*at < json_array_size(calls) && !can_end(json_array_get(calls, *at))) {
        ++*at;
    }
    return *at < json_array_size(calls)
               ? json_integer_value(json_object_get(json_array_get(calls, *at), "rank"))
               : -1;
}

/* Each node's list is in the order in which it would end them. */
static void share_out(const struct gate_answer *all, size_t n, json_int_t max, struct shares *s)
{
    size_t at[GATES_MAX] = {0};

    s->n = n;
    for (size_t i = 0; i < n; i++) {
        memcpy(s->node[i], all[i].node, GATE_NAME_MAX);
        s->may[i] = 0;
    }
    while (max-- > 0) {
        json_int_t lowest = -1;
        size_t whose = 0;
        for (size_t i = 0; i < n; i++) {
            json_int_t rank = next_rank(json_object_get(all[i].answer, "calls"), &at[i]);
            if (rank >= 0 && (lowest < 0 || rank < lowest)) {
                lowest = rank;
                whose = i;
            }
        }
        if (lowest < 0) {
            return;
        }
        at[whose]++;
        s->may[whose]++;
    }
}

/* ---- the answer --------------------------------------------------------------------------------
 */
static json_t *call_of(const json_t *said)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "call", live_member(said, "call"), "caller",
                     live_member(said, "caller"), "called", live_member(said, "called"), "rank",
                     live_member(said, "rank"), "outcome", live_member(said, "outcome"), "had_by",
                     live_or_null(said, "had_by"));
}

static json_t *result_of(const struct gate_answer *said)
{
    const char *error = said->e == E_OK      ? NULL
                        : said->e == E_STATE ? gate_error(said)
                                             : "no answer";
    json_t *calls = json_array(), *row = NULL;
    size_t i = 0;

    json_array_foreach(json_object_get(said->answer, "calls"), i, row)
    {
        (void)json_array_append_new(calls, call_of(row));
    }
    return json_pack("{s:s,s:b,s:s?,s:I,s:b,s:o}", "node", said->node, "reached", said->e != E_IO,
                     "error", error, "ended",
                     json_integer_value(json_object_get(said->answer, "ended")), "truncated",
                     json_is_true(json_object_get(said->answer, "truncated")), "calls", calls);
}

static json_t *results_of(const struct gate_answer *all, size_t n)
{
    json_t *results = json_array();

    for (size_t i = 0; i < n; i++) {
        (void)json_array_append_new(results, result_of(&all[i]));
    }
    return results;
}

/* Those that were asked the second time take the place of what they said the first time; the
 * others would end nothing, and say so with an empty list. */
static void put_second(json_t *results, const struct gate_answer *all, size_t n)
{
    json_t *row = NULL;
    size_t i = 0;

    json_array_foreach(results, i, row)
    {
        const struct gate_answer *again = NULL;
        for (size_t k = 0; k < n && again == NULL; k++) {
            again = strcmp(all[k].node, text_of(row, "node")) == 0 ? &all[k] : NULL;
        }
        if (again != NULL) {
            json_t *fresh = result_of(again);
            (void)json_object_update(row, fresh);
            json_decref(fresh);
        } else {
            (void)json_object_set_new(row, "ended", json_integer(0));
            (void)json_object_set_new(row, "calls", json_array());
            (void)json_object_set_new(row, "truncated", json_false());
        }
    }
}

json_t *preemption_run(struct api_request *r, const json_t *row)
{
    json_int_t max = json_integer_value(json_object_get(row, "max"));
    bool dry_run = json_is_true(json_object_get(row, "dry_run"));
    struct gate_answer *all = mem_zalloc_array(GATES_MAX, sizeof *all);
    struct shares *shares = mem_zalloc(sizeof *shares);
    struct plan plan = {.row = row, .dry_run = dry_run || max > 0};
    json_t *results = NULL;
    size_t n = 0;

    if (all == NULL || shares == NULL) {
        mem_free(all);
        mem_free(shares);
        return json_array();
    }
    n = gates_ask_each(r->gates, request_for, &plan, LIVE_WAIT_MS, all);
    results = results_of(all, n);
    if (max > 0 && !dry_run) {
        share_out(all, n, max, shares);
        gate_answers_free(all, n);
        plan.dry_run = false;
        plan.shares = shares;
        n = gates_ask_each(r->gates, request_for, &plan, LIVE_WAIT_MS, all);
        put_second(results, all, n);
    }
    gate_answers_free(all, n);
    mem_free(all);
    mem_free(shares);
    return results;
}
