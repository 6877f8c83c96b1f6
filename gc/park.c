/* Requests that wait for another thread: a table of tickets, a timer each, answers by the worker's
 * queue. */
#include "gc/park.h"

#include <stdalign.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"

struct parked {
    struct hlink by_ticket;
    struct worker *w;
    uint64_t ticket;
    struct ctx *c; /* held */
    park_fn *fn;
    struct loop_timer patience;
};

static struct hlink **head_of(struct worker *w, uint64_t ticket)
{
    return &w->parked[ticket % PARK_HEADS];
}

static struct parked *find(struct worker *w, uint64_t ticket)
{
    for (struct hlink *p = *head_of(w, ticket); p != NULL; p = p->next) {
        struct parked *k = HLIST_OF(p, struct parked, by_ticket);
        if (k->ticket == ticket) {
            return k;
        }
    }
    return NULL;
}

/* Takes it out; the hold on its context is the caller's now. */
static struct ctx *take_out(struct parked *k)
{
    struct ctx *c = k->c;

    loop_timer_stop(k->w->loop, &k->patience);
    hlist_drop(&k->by_ticket);
    k->w->n_parked--;
    mem_free(k);
    return c;
}

static void finish(struct parked *k, const void *answer, size_t n)
{
    park_fn *fn = k->fn;
    struct ctx *c = take_out(k);

    fn(c, answer, n);
    ctx_release(c);
}

static void on_patience(void *arg)
{
    struct parked *k = arg;

    meter(k->w, METER_PARK_TIMEOUTS);
    finish(k, NULL, 0);
}

uint64_t park(struct ctx *c, unsigned max_ms, park_fn *fn)
{
    struct worker *w = c->w;
    struct parked *k = w->n_parked < w->set->max_parked ? mem_zalloc(sizeof *k) : NULL;

    if (k == NULL || loop_timer_start(w->loop, &k->patience, max_ms, on_patience, k) != E_OK) {
        mem_free(k);
        meter(w, METER_PARK_REFUSED);
        return 0;
    }
    k->w = w;
    k->ticket = ++w->tickets;
    k->fn = fn;
    k->c = c;
    c->refs++;
    w->n_parked++;
    hlist_push(head_of(w, k->ticket), &k->by_ticket);
    return k->ticket;
}

void park_answer(struct workers *ws, uint16_t worker, uint64_t ticket, const void *answer, size_t n)
{
    struct record head = {.kind = RECORD_PARK, .origin = worker};
    uint8_t octets[sizeof ticket + PARK_ANSWER_MAX];

    BUG_ON(worker >= ws->n || n > PARK_ANSWER_MAX);
    memcpy(octets, &ticket, sizeof ticket);
    if (n > 0) {
        memcpy(octets + sizeof ticket, answer, n);
    }
    if (!worker_post(ws->w[worker], &head, view_from(octets, sizeof ticket + n))) {
        LOG(LV_ERROR, "worker.queue_full", KV("worker", worker)); /* its timer goes on */
    }
}

void park_take(struct worker *w, struct view record)
{
    alignas(max_align_t) uint8_t answer[PARK_ANSWER_MAX]; /* the queue keeps no alignment */
    struct parked *k = NULL;
    uint64_t ticket = 0;
    size_t n = record.n - sizeof ticket;

    BUG_ON(record.n < sizeof ticket || n > sizeof answer);
    memcpy(&ticket, record.p, sizeof ticket);
    k = find(w, ticket);
    if (k == NULL) {
        return; /* too late */
    }
    memcpy(answer, record.p + sizeof ticket, n);
    finish(k, answer, n);
}

void park_free(struct worker *w)
{
    for (size_t i = 0; i < PARK_HEADS; i++) {
        while (w->parked[i] != NULL) {
            ctx_release(take_out(HLIST_OF(w->parked[i], struct parked, by_ticket)));
        }
    }
}
