/* What other threads ask of the workers: numbers, calls that end, the state of trunks and servers.
 */
#include <stdio.h>
#include <string.h>

#include "gc/trunks.h"
#include "gc/worker_int.h"

size_t workers_calls(const struct workers *w)
{
    size_t sum = 0;

    for (unsigned i = 0; i < w->n; i++) {
        sum += atomic_load_explicit(&w->w[i]->shown_calls, memory_order_relaxed);
    }
    return sum;
}

bool workers_follow(const struct workers *w, uint64_t generation)
{
    for (unsigned i = 0; i < w->n; i++) {
        if (atomic_load(&w->w[i]->follows) < generation ||
            atomic_load(&w->w[i]->reloads) != atomic_load(&w->reloads)) {
            return false;
        }
    }
    return true;
}

struct trace *workers_trace(struct workers *w, unsigned worker)
{
    return worker < w->n ? w->w[worker]->trace : NULL;
}

static void post_all(struct workers *w, const struct record *head, struct view octets)
{
    for (unsigned i = 0; i < w->n; i++) {
        if (!worker_post(w->w[i], head, octets)) {
            LOG(LV_ERROR, "worker.queue_full", KV("worker", i));
        }
    }
}

void workers_end_call(struct workers *w, const char *id, const char *reason)
{
    char text[CONTROL_TEXT_MAX];
    struct record head = {.kind = RECORD_END_CALL};
    int n = snprintf(text, sizeof text, "%.260s%c%.120s", id, 0, reason != NULL ? reason : "");

    if (n > 0 && (size_t)n < sizeof text) {
        post_all(w, &head, view_from(text, (size_t)n));
    }
}

void workers_end_calls(struct workers *w)
{
    post_all(w, &(struct record){.kind = RECORD_END_ALL}, VIEW(""));
}

void workers_close_kid(struct workers *w, const uint8_t kid[BTI_KID_BYTES])
{
    struct record head = {.kind = RECORD_CLOSE_KID};

    memcpy(head.flow.kid, kid, sizeof head.flow.kid);
    post_all(w, &head, VIEW(""));
}

const char *workers_obstacle(const struct workers *w, const struct route *r, const struct trunk *t)
{
    return trunk_obstacle(w->trunks, r, t, clock_mono_ms(w->cfg.clock));
}

unsigned workers_rank(struct workers *w, struct view r_value)
{
    unsigned rank = 0;

    BUG_ON(pthread_mutex_lock(&w->live_lock) != 0);
    rank = priority_rank(&w->live->plan.priority, r_value);
    BUG_ON(pthread_mutex_unlock(&w->live_lock) != 0);
    return rank;
}

size_t workers_trunks(const struct workers *w, struct trunk_view *out, size_t max)
{
    return trunks_view(w->trunks, clock_mono_ms(w->cfg.clock), out, max);
}

static size_t show_ps(const struct workers *w, const struct gc_plan *plan, struct ps_state *out,
                      size_t max)
{
    size_t n = plan->n_ps < max ? plan->n_ps : max;

    for (size_t i = 0; i < n; i++) {
        const struct ps_health *h = &w->ps[i];
        memcpy(out[i].uri, plan->ps[i].uri, sizeof out[i].uri);
        out[i].healthy = atomic_load_explicit(&h->healthy, memory_order_relaxed);
        out[i].last_answer_us = atomic_load_explicit(&h->last_answer_us, memory_order_relaxed);
        out[i].missed = atomic_load_explicit(&h->missed, memory_order_relaxed);
    }
    return n;
}

size_t workers_ps(struct workers *w, struct ps_state *out, size_t max)
{
    size_t n = 0;

    BUG_ON(pthread_mutex_lock(&w->live_lock) != 0);
    n = show_ps(w, &w->live->plan, out, max);
    BUG_ON(pthread_mutex_unlock(&w->live_lock) != 0);
    return n;
}

void workers_peers(struct workers *w, struct peers_named *out)
{
    const struct gc_plan *plan = NULL;

    BUG_ON(pthread_mutex_lock(&w->live_lock) != 0);
    plan = &w->live->plan;
    *out = (struct peers_named){.n_trusted = plan->n_trusted, .n_emergency = plan->n_emergency};
    memcpy(out->trusted, plan->trusted, sizeof out->trusted);
    memcpy(out->emergency, plan->emergency, sizeof out->emergency);
    BUG_ON(pthread_mutex_unlock(&w->live_lock) != 0);
}
