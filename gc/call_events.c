/* A ring of events under one lock. */
#include "gc/call_events.h"

#include <pthread.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"

enum { EVENTS = 4096, START_BYTES = 8, COPIED_AT_ONCE = 16 };
_Static_assert(2 * START_BYTES + 1 == CALL_EVENT_START_BYTES, "in hexadecimal");

struct call_events {
    pthread_mutex_t lock;
    char start[CALL_EVENT_START_BYTES];
    uint64_t last;
    size_t max;
    struct call_event ring[];
};

const char *call_event_name(enum call_event_kind k)
{
    static const char *const names[] = {"started", "routed", "answered", "preempted", "ended"};

    return (unsigned)k < sizeof names / sizeof names[0] ? names[k] : "?";
}

enum err call_events_new(size_t max, struct call_events **out)
{
    struct call_events *e = NULL;
    uint8_t start[START_BYTES];
    enum err err = crypto_random(start, sizeof start);

    if (err != E_OK) {
        return err;
    }
    max = max != 0 ? max : EVENTS;
    e = mem_zalloc(sizeof *e + max * sizeof e->ring[0]);
    if (e == NULL) {
        return FAIL(E_NOMEM);
    }
    e->max = max;
    hex_put(start, sizeof start, e->start);
    BUG_ON(pthread_mutex_init(&e->lock, NULL) != 0);
    *out = e;
    return E_OK;
}

void call_events_free(struct call_events *e)
{
    if (e != NULL) {
        (void)pthread_mutex_destroy(&e->lock);
        mem_free(e);
    }
}

static struct call_event *place_of(struct call_events *e, uint64_t number)
{
    return &e->ring[number % e->max];
}

void call_events_put(struct call_events *e, enum call_event_kind kind, uint64_t at_us,
                     const struct trace_call *c)
{
    struct call_event *place = NULL;

    if (e == NULL) {
        return;
    }
    BUG_ON(pthread_mutex_lock(&e->lock) != 0);
    e->last++;
    place = place_of(e, e->last);
    place->number = e->last;
    place->kind = kind;
    place->at_us = at_us;
    place->call = *c;
    BUG_ON(pthread_mutex_unlock(&e->lock) != 0);
}

/* Under the lock: some more. False: no more are there, or they are gone. */
static bool copy_some(struct call_events *e, uint64_t *at, struct call_event *out, size_t max,
                      struct call_events_page *page)
{
    size_t most = page->n + COPIED_AT_ONCE < max ? page->n + COPIED_AT_ONCE : max;

    while (page->n < most && *at <= page->last && place_of(e, *at)->number == *at) {
        out[page->n++] = *place_of(e, *at);
        ++*at;
    }
    return page->n == most && page->n < max;
}

/* What is overwritten while the workers have the lock in between is lost for the next page. */
void call_events_read(struct call_events *e, uint64_t since, struct call_event *out, size_t max,
                      struct call_events_page *page)
{
    uint64_t oldest = 0, at = 0;
    bool more = false;

    BUG_ON(pthread_mutex_lock(&e->lock) != 0);
    *page = (struct call_events_page){.last = e->last};
    memcpy(page->start, e->start, sizeof page->start);
    since = since < e->last ? since : e->last;
    oldest = e->last > e->max ? e->last - e->max + 1 : 1;
    page->lost = since + 1 < oldest ? oldest - since - 1 : 0;
    at = since + page->lost + 1;
    more = copy_some(e, &at, out, max, page);
    BUG_ON(pthread_mutex_unlock(&e->lock) != 0);
    while (more) {
        BUG_ON(pthread_mutex_lock(&e->lock) != 0);
        more = copy_some(e, &at, out, max, page);
        BUG_ON(pthread_mutex_unlock(&e->lock) != 0);
    }
}
