/* The ring of events and the streams that read it. */
#include "admin_api/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin_api/events_int.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"

enum {
    JOIN_MS = 2500, /* longest wait for the round that puts a new stream behind what was */
    PULL_MS = 900,
    WHO_MAX = 129
};

struct event_stream {
    struct event_stream *next;
    struct events *e;
    char who[WHO_MAX];
    char number[64], trunk[64], node[GATE_NAME_MAX];
    uint64_t line;
    uint64_t at; /* number of the last entry that it has passed */
    bool tell_lost, is_new;
    uint64_t beat_ms, end_ms; /* mono */
    char *out;                /* a message under way; mem_ */
    size_t out_n, sent;
};

/* ---- locks -------------------------------------------------------------------------------------
 */
void events_lock(struct events *e)
{
    BUG_ON(pthread_mutex_lock(&e->lock) != 0);
}

void events_unlock(struct events *e)
{
    BUG_ON(pthread_mutex_unlock(&e->lock) != 0);
}

void events_wait(struct events *e, uint64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};

    if (until_ms == UINT64_MAX) {
        BUG_ON(pthread_cond_wait(&e->changed, &e->lock) != 0);
    } else {
        (void)pthread_cond_timedwait(&e->changed, &e->lock, &until);
    }
}

static uint64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* ---- the ring ----------------------------------------------------------------------------------
 */
void events_put(struct events *e, struct event_entry *entry)
{
    struct event_entry *place = NULL;

    events_lock(e);
    entry->number = ++e->last;
    place = &e->ring[e->last % EVENTS_RING];
    mem_free(place->data);
    *place = *entry;
    pthread_cond_broadcast(&e->changed);
    events_unlock(e);
}

static bool fits_text(const char *wanted, const char *a, const char *b, const char *c)
{
    return wanted[0] == 0 || strcmp(wanted, a) == 0 || strcmp(wanted, b) == 0 ||
           strcmp(wanted, c) == 0;
}

static bool is_wanted(const struct event_stream *s, const struct event_entry *x)
{
    if (x->data == NULL || (s->node[0] != 0 && x->node[0] != 0 && strcmp(s->node, x->node) != 0)) {
        return false;
    }
    return !x->is_call ||
           (fits_text(s->number, x->caller, x->called, x->routed) &&
            fits_text(s->trunk, x->trunk_in, x->trunk_out, x->trunk_out) &&
            (s->line == 0 || s->line == x->caller_line || s->line == x->callee_line));
}

/* The next one that it wants; NULL: there is none yet. Locked. */
static const struct event_entry *next_of(struct event_stream *s)
{
    struct events *e = s->e;
    uint64_t oldest = e->last > EVENTS_RING - 1 ? e->last - (EVENTS_RING - 1) : 1;

    if (s->at + 1 < oldest) {
        s->tell_lost = true;
        s->at = oldest - 1;
    }
    while (!s->tell_lost && s->at < e->last) {
        const struct event_entry *x = &e->ring[++s->at % EVENTS_RING];
        if (is_wanted(s, x)) {
            return x;
        }
    }
    return NULL;
}

/* ---- what a stream says ------------------------------------------------------------------------
 */
/* Locked. False: no memory. */
static bool say(struct event_stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool say(struct event_stream *s, const char *fmt, ...)
{
    va_list v;
    int n = 0;

    va_start(v, fmt);
    n = vsnprintf(NULL, 0, fmt, v);
    va_end(v);
    mem_free(s->out);
    s->out = n > 0 ? mem_zalloc((size_t)n + 1) : NULL;
    s->out_n = s->sent = 0;
    if (s->out == NULL) {
        return false;
    }
    va_start(v, fmt);
    s->out_n = (size_t)vsnprintf(s->out, (size_t)n + 1, fmt, v);
    va_end(v);
    s->beat_ms = now_ms() + EVENTS_BEAT_S * 1000;
    return true;
}

/* The next message, if there is one. Locked. False: no memory. */
static bool prepare(struct event_stream *s)
{
    const struct event_entry *x = s->is_new ? NULL : next_of(s);

    if (s->is_new) {
        s->is_new = false;
        return say(s, "retry: 2000\nid: %s-%llu\n\n", s->e->start, (unsigned long long)s->at);
    }
    if (s->tell_lost) {
        s->tell_lost = false;
        return say(s, "id: %s-%llu\nevent: lost\ndata: {\"event\":\"lost\",\"node\":null}\n\n",
                   s->e->start, (unsigned long long)s->at);
    }
    if (x != NULL) {
        return say(s, "id: %s-%llu\nevent: %s\ndata: %s\n\n", s->e->start,
                   (unsigned long long)x->number, x->event, x->data);
    }
    return now_ms() < s->beat_ms || say(s, ": heartbeat\n\n");
}

ssize_t event_stream_pull(void *stream, char *to, size_t max)
{
    struct event_stream *s = stream;
    struct events *e = s->e;
    uint64_t until = now_ms() + PULL_MS;
    bool good = true;
    size_t n = 0;

    events_lock(e);
    while (good && s->sent == s->out_n && !e->end && now_ms() < s->end_ms) {
        good = prepare(s);
        if (s->sent == s->out_n && now_ms() >= until) {
            break;
        }
        if (good && s->sent == s->out_n) {
            events_wait(e, until);
        }
    }
    n = s->out_n - s->sent < max ? s->out_n - s->sent : max;
    if (n > 0) {
        memcpy(to, s->out + s->sent, n);
        s->sent += n;
    }
    good = good && (n > 0 || (!e->end && now_ms() < s->end_ms));
    events_unlock(e);
    return good ? (ssize_t)n : -1;
}

/* ---- streams come and go -----------------------------------------------------------------------
 */
static size_t streams_of(const struct events *e, const char *who)
{
    size_t n = 0;

    for (const struct event_stream *s = e->streams; s != NULL; s = s->next) {
        n += strcmp(s->who, who) == 0;
    }
    return n;
}

static void leave(struct event_stream *s)
{
    struct event_stream **p = &s->e->streams;

    while (*p != s) {
        p = &(*p)->next;
    }
    *p = s->next;
    s->e->n_streams--;
    if (s->e->n_streams == 0) {
        s->e->idle_ms = now_ms();
    }
}

/* Whether last_id is a place in the ring, or behind its end is none. Locked. */
static bool resume(struct event_stream *s, struct view last_id)
{
    size_t at = 0;
    uint64_t number = 0;
    bool ours = view_find(last_id, '-', &at) &&
                view_eq(view_sub(last_id, 0, at), view_of(s->e->start)) &&
                view_to_u64(view_sub(last_id, at + 1, last_id.n), UINT64_MAX, &number) == E_OK &&
                number <= s->e->last;

    if (ours) {
        s->at = number;
    }
    return ours;
}

/* Two rounds: one may have been under way. */
static void go_behind(struct event_stream *s)
{
    struct events *e = s->e;
    uint64_t wanted = e->rounds + 2, until = now_ms() + JOIN_MS;

    while (e->rounds < wanted && !e->end && now_ms() < until) {
        events_wait(e, until);
    }
    s->at = e->last;
}

static void copy_filter(struct event_stream *s, const struct events_filter *f)
{
    (void)snprintf(s->number, sizeof s->number, "%s", f->number != NULL ? f->number : "");
    (void)snprintf(s->trunk, sizeof s->trunk, "%s", f->trunk != NULL ? f->trunk : "");
    (void)snprintf(s->node, sizeof s->node, "%s", f->node != NULL ? f->node : "");
    s->line = f->line;
}

enum err events_join(struct events *e, const char *who, const struct events_filter *f,
                     struct view last_id, struct event_stream **out)
{
    struct event_stream *s = mem_zalloc(sizeof *s);
    enum err err = s != NULL ? E_OK : FAIL(E_NOMEM);

    if (err != E_OK) {
        return err;
    }
    s->e = e;
    s->is_new = true;
    (void)snprintf(s->who, sizeof s->who, "%s", who);
    copy_filter(s, f);
    s->end_ms = now_ms() + EVENTS_LIFE_S * 1000;
    events_lock(e);
    err = e->end                                                   ? FAIL(E_STATE)
          : e->n_streams >= EVENTS_STREAMS                         ? FAIL(E_FULL)
          : streams_of(e, s->who) >= (size_t)EVENTS_STREAMS_OF_ONE ? FAIL(E_FULL)
                                                                   : E_OK;
    if (err == E_OK) {
        s->next = e->streams;
        e->streams = s;
        e->n_streams++;
        pthread_cond_broadcast(&e->changed);
        if (!resume(s, last_id)) {
            s->tell_lost = last_id.n > 0;
            go_behind(s);
        }
    }
    events_unlock(e);
    if (err != E_OK) {
        mem_free(s);
        return err;
    }
    *out = s;
    return E_OK;
}

void event_stream_done(void *stream)
{
    struct event_stream *s = stream;
    struct events *e = s->e;

    events_lock(e);
    leave(s);
    pthread_cond_broadcast(&e->changed);
    events_unlock(e);
    mem_free(s->out);
    mem_free(s);
}

/* ---- life --------------------------------------------------------------------------------------
 */
static void init_locks(struct events *e)
{
    pthread_condattr_t attr;

    BUG_ON(pthread_mutex_init(&e->lock, NULL) != 0);
    BUG_ON(pthread_condattr_init(&attr) != 0);
    BUG_ON(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0);
    BUG_ON(pthread_cond_init(&e->changed, &attr) != 0);
    (void)pthread_condattr_destroy(&attr);
}

enum err events_open(struct gates *g, struct events **out)
{
    struct events *e = mem_zalloc(sizeof *e);
    uint8_t start[EVENTS_START_BYTES / 2];
    enum err err = e != NULL ? crypto_random(start, sizeof start) : FAIL(E_NOMEM);

    if (err != E_OK) {
        mem_free(e);
        return err;
    }
    e->gates = g;
    hex_put(start, sizeof start, e->start);
    init_locks(e);
    if (pthread_create(&e->thread, NULL, events_poll, e) != 0) {
        events_close(e);
        return FAIL(E_NOMEM);
    }
    e->runs = true;
    (void)pthread_setname_np(e->thread, "events");
    *out = e;
    return E_OK;
}

void events_end(struct events *e)
{
    events_lock(e);
    e->end = true;
    pthread_cond_broadcast(&e->changed);
    events_unlock(e);
}

void events_close(struct events *e)
{
    if (e == NULL) {
        return;
    }
    events_lock(e);
    e->end = e->stop = true;
    BUG_ON(e->n_streams != 0);
    pthread_cond_broadcast(&e->changed);
    events_unlock(e);
    if (e->runs) {
        BUG_ON(pthread_join(e->thread, NULL) != 0);
    }
    for (size_t i = 0; i < EVENTS_RING; i++) {
        mem_free(e->ring[i].data);
    }
    (void)pthread_cond_destroy(&e->changed);
    (void)pthread_mutex_destroy(&e->lock);
    mem_free(e);
}
