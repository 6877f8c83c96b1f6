/* Events of calls since a number. */
#include <string.h>

#include "base/mem.h"
#include "gc/call_events.h"
#include "gc/control_int.h"

enum { EVENTS_MAX = 500 };

static json_t *row(const struct call_event *e)
{
    json_t *o = control_call_row(&e->call, e->kind == CALL_EVENT_ENDED);

    control_put(o, "number", control_count(e->number));
    control_put(o, "event", json_string(call_event_name(e->kind)));
    control_put(o, "at", control_when(e->at_us));
    if (e->kind == CALL_EVENT_ENDED) {
        control_put(o, "ended", control_when(e->at_us));
    }
    return o;
}

/* {"since":{"gc1":{"start":"..","number":N}, ...}}: the same question may go to every node. */
static const json_t *place_of(const struct control_ask *a)
{
    const json_t *since = json_object_get(a->request, "since");

    return json_is_object(since) ? json_object_get(since, a->cfg->node) : NULL;
}

/* Who names no place begins with what comes now; who names one of an earlier start of ours has
 * missed all until here, as far as it is known. */
static uint64_t number_of(const json_t *place, const struct call_events_page *now)
{
    const char *start = json_string_value(json_object_get(place, "start"));
    json_int_t n = json_integer_value(json_object_get(place, "number"));

    if (place == NULL) {
        return now->last;
    }
    return start != NULL && strcmp(start, now->start) == 0 && n > 0 ? (uint64_t)n : 0;
}

void control_op_events(struct control_ask *a, json_t *answer)
{
    struct call_event *all = NULL;
    struct call_events_page page;
    json_t *rows = NULL;
    uint64_t since = 0;

    if (a->cfg->events == NULL) {
        a->error = "no events here";
        return;
    }
    all = mem_zalloc_array(EVENTS_MAX, sizeof *all);
    if (all == NULL) {
        a->error = "out of memory";
        return;
    }
    call_events_read(a->cfg->events, 0, NULL, 0, &page);
    since = number_of(place_of(a), &page);
    call_events_read(a->cfg->events, since, all, EVENTS_MAX, &page);
    rows = json_array();
    control_put(answer, "start", json_string(page.start));
    control_put(answer, "last", control_count(page.n > 0 ? all[page.n - 1].number : page.last));
    control_put(answer, "lost", control_count(page.lost));
    control_put(answer, "more", json_boolean(page.n > 0 && all[page.n - 1].number < page.last));
    control_put(answer, "events", rows);
    for (size_t i = 0; i < page.n; i++) {
        control_add(rows, row(&all[i]));
    }
    mem_free(all);
}
