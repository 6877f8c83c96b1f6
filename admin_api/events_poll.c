/* Asks the nodes for events and puts them into the ring. */
#include <stdio.h>
#include <string.h>

#include "admin_api/events_int.h"
#include "admin_api/live.h"
#include "base/clock.h"
#include "base/mem.h"

/* ---- entries -----------------------------------------------------------------------------------
 */
static void copy_text(char *dst, size_t bytes, const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    (void)snprintf(dst, bytes, "%s", text != NULL ? text : "");
}

/* In mem_ memory; NULL: none. Moves o. */
static char *data_of(json_t *o)
{
    size_t n = json_dumpb(o, NULL, 0, JSON_COMPACT);
    char *text = n > 0 ? mem_zalloc(n + 1) : NULL;

    if (text != NULL && json_dumpb(o, text, n, JSON_COMPACT) != n) {
        mem_free(text);
        text = NULL;
    }
    json_decref(o);
    return text;
}

static void put_call(struct events *e, const json_t *row, const char *node)
{
    struct event_entry x = {.is_call = true};
    json_int_t caller = json_integer_value(json_object_get(row, "caller_line"));
    json_int_t callee = json_integer_value(json_object_get(row, "callee_line"));

    copy_text(x.event, sizeof x.event, row, "event");
    (void)snprintf(x.node, sizeof x.node, "%s", node);
    copy_text(x.caller, sizeof x.caller, row, "caller");
    copy_text(x.called, sizeof x.called, row, "called");
    copy_text(x.routed, sizeof x.routed, row, "routed");
    copy_text(x.trunk_in, sizeof x.trunk_in, row, "trunk_in");
    copy_text(x.trunk_out, sizeof x.trunk_out, row, "trunk_out");
    x.caller_line = caller > 0 ? (uint64_t)caller : 0;
    x.callee_line = callee > 0 ? (uint64_t)callee : 0;
    x.data = data_of(json_pack("{s:s,s:o,s:s,s:o}", "event", x.event, "at", live_member(row, "at"),
                               "node", node, "call", live_call(row, node)));
    events_put(e, &x);
}

static void put_node(struct events *e, const char *event, const char *node)
{
    struct event_entry x = {.is_call = false};

    (void)snprintf(x.event, sizeof x.event, "%s", event);
    (void)snprintf(x.node, sizeof x.node, "%s", node != NULL ? node : "");
    x.data = data_of(json_pack("{s:s,s:s?}", "event", event, "node", node));
    events_put(e, &x);
}

/* ---- one node ----------------------------------------------------------------------------------
 */
static struct place *place_of(struct events *e, const char *node)
{
    for (size_t i = 0; i < e->n_places; i++) {
        if (strcmp(e->place[i].node, node) == 0) {
            return &e->place[i];
        }
    }
    if (e->n_places == GATES_MAX) {
        return NULL;
    }
    e->place[e->n_places] = (struct place){.is_known = false};
    (void)snprintf(e->place[e->n_places].node, sizeof e->place[0].node, "%s", node);
    return &e->place[e->n_places++];
}

static json_t *question(void *arg, const char *node)
{
    struct events *e = arg;
    const struct place *p = place_of(e, node);

    if (p == NULL || clock_mono_ms(clock_system()) < p->ask_ms) {
        return NULL;
    }
    return p->is_known ? json_pack("{s:s,s:{s:{s:s,s:I}}}", "op", "events", "since", node, "start",
                                   p->start, "number", (json_int_t)p->number)
                       : json_pack("{s:s}", "op", "events");
}

static void silent(struct events *e, struct place *p)
{
    p->ask_ms = clock_mono_ms(clock_system()) + EVENTS_SILENT_MS;
    if (!p->is_silent) {
        p->is_silent = true;
        put_node(e, "unreached", p->node);
    }
}

static void heard(struct events *e, struct place *p, const json_t *said)
{
    const char *start = json_string_value(json_object_get(said, "start"));
    json_int_t lost = json_integer_value(json_object_get(said, "lost"));
    json_int_t last = json_integer_value(json_object_get(said, "last"));
    const json_t *row = NULL;
    size_t i = 0;

    if (p->is_silent) {
        p->is_silent = false;
        put_node(e, "reached", p->node);
    }
    if (p->is_known && (lost > 0 || start == NULL || strcmp(start, p->start) != 0)) {
        put_node(e, "lost", p->node);
    }
    json_array_foreach(json_object_get(said, "events"), i, row)
    {
        put_call(e, row, p->node);
    }
    copy_text(p->start, sizeof p->start, said, "start");
    p->number = last > 0 ? (uint64_t)last : 0;
    p->is_known = true;
    e->more = e->more || json_is_true(json_object_get(said, "more"));
}

/* ---- rounds ------------------------------------------------------------------------------------
 */
static void ask_everybody(struct events *e, struct gate_answer *all)
{
    size_t n = gates_ask_each(e->gates, question, e, EVENTS_ROUND_MS, all);

    e->more = false;
    for (size_t i = 0; i < n; i++) {
        struct place *p = place_of(e, all[i].node);
        if (p != NULL && all[i].e == E_OK) {
            heard(e, p, all[i].answer);
        } else if (p != NULL) {
            silent(e, p);
        }
    }
    gate_answers_free(all, n);
}

/* Sleeps while nobody listens. False: it is over. */
static bool wait_for_streams(struct events *e)
{
    uint64_t now = 0;

    while (!e->stop && e->n_streams == 0) {
        events_wait(e, UINT64_MAX);
    }
    now = clock_mono_ms(clock_system());
    if (!e->stop && e->idle_ms != 0 && now - e->idle_ms > EVENTS_FORGET_MS) {
        e->n_places = 0;
        events_unlock(e);
        put_node(e, "lost", NULL);
        events_lock(e);
    }
    e->idle_ms = 0;
    return !e->stop;
}

void *events_poll(void *events)
{
    struct events *e = events;
    struct gate_answer *all = mem_zalloc_array(GATES_MAX, sizeof *all);

    events_lock(e);
    while (all != NULL && wait_for_streams(e)) {
        uint64_t next = clock_mono_ms(clock_system()) + EVENTS_POLL_MS;
        events_unlock(e);
        ask_everybody(e, all);
        events_lock(e);
        if (!e->more) {
            e->rounds++;
            pthread_cond_broadcast(&e->changed);
            while (!e->stop && clock_mono_ms(clock_system()) < next) {
                events_wait(e, next);
            }
        }
    }
    events_unlock(e);
    mem_free(all);
    return NULL;
}
