#include "base/loop.h"

#include <ev.h>
#include <string.h>

#include "base/mem.h"

#define HEAP_ARITY   4
#define AFTER_MAX_MS (1000ull * 86400 * 3650) /* ten years is never; sums cannot overflow */

struct loop {
    struct ev_loop *ev;
    const struct clock *clock;
    uint64_t now_us, order;
    struct loop_timer **heap; /* 1-based */
    size_t n, room;
    ev_timer alarm; /* armed for the next deadline */
    ev_async stop_wake;
    _Atomic bool stopping;
    loop_fn *turn_end;
    void *turn_end_arg;
    struct loop_hook *hooks, *next_hook; /* next_hook: where end_turn() goes on */
    bool in_turn;
};

struct loop_io {
    ev_io w;
    struct loop *l;
    loop_io_fn *fn;
    void *arg;
};

struct loop_wake {
    ev_async w;
    struct loop *l;
    loop_fn *fn;
    void *arg;
};

struct loop_signal {
    ev_signal w;
    struct loop *l;
    loop_fn *fn;
    void *arg;
};

static void on_stop(struct ev_loop *ev, ev_async *w, int events)
{
    (void)w;
    (void)events;
    ev_break(ev, EVBREAK_ALL);
}

static void on_alarm(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev; /* the turn itself fires what is due */
    (void)w;
    (void)events;
}

enum err loop_new(const struct clock *clock, struct loop **out)
{
    struct loop *l = mem_zalloc(sizeof *l);

    if (l == NULL) {
        return FAIL(E_NOMEM);
    }
    l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (l->ev == NULL) {
        mem_free(l);
        return FAIL(E_IO);
    }
    l->clock = clock;
    l->now_us = clock->mono_us(clock->arg);
    ev_init(&l->alarm, on_alarm);
    ev_async_init(&l->stop_wake, on_stop);
    ev_async_start(l->ev, &l->stop_wake);
    ev_unref(l->ev);
    *out = l;
    return E_OK;
}

void loop_free(struct loop *l)
{
    if (l != NULL) {
        ev_ref(l->ev);
        ev_async_stop(l->ev, &l->stop_wake);
        ev_timer_stop(l->ev, &l->alarm);
        ev_loop_destroy(l->ev);
        mem_free(l->heap);
        mem_free(l);
    }
}

/* ---- timers: a 4-ary heap by (due, order) ---------------------------------------------------- */
static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void place(struct loop *l, size_t at, struct loop_timer *t)
{
    l->heap[at] = t;
    t->slot = at;
}

static size_t parent_of(size_t at)
{
    return (at - 2) / HEAP_ARITY + 1;
}

static void sift_up(struct loop *l, size_t at, struct loop_timer *t)
{
    while (at > 1 && before(t, l->heap[parent_of(at)])) {
        place(l, at, l->heap[parent_of(at)]);
        at = parent_of(at);
    }
    place(l, at, t);
}

static void sift_down(struct loop *l, size_t at, struct loop_timer *t)
{
    for (;;) {
        size_t first = HEAP_ARITY * (at - 1) + 2, least = 0;
        for (size_t c = first; c < first + HEAP_ARITY && c <= l->n; c++) {
            if (least == 0 || before(l->heap[c], l->heap[least])) {
                least = c;
            }
        }
        if (least == 0 || !before(l->heap[least], t)) {
            break;
        }
        place(l, at, l->heap[least]);
        at = least;
    }
    place(l, at, t);
}

enum err loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t after_ms, loop_fn *fn,
                          void *arg)
{
    loop_timer_stop(l, t);
    if (l->n + 2 > l->room) {
        size_t room = l->room == 0 ? 64 : l->room * 2;
        struct loop_timer **heap = mem_resize(l->heap, room * sizeof(void *));
        if (heap == NULL) {
            return FAIL(E_NOMEM);
        }
        l->heap = heap;
        l->room = room;
    }
    t->due_ms = loop_now_ms(l) + (after_ms < AFTER_MAX_MS ? after_ms : AFTER_MAX_MS);
    t->order = l->order++;
    t->fn = fn;
    t->arg = arg;
    l->n++;
    sift_up(l, l->n, t);
    return E_OK;
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    size_t at = t->slot;
    struct loop_timer *last = NULL;

    if (at == 0) {
        return;
    }
    t->slot = 0;
    last = l->heap[l->n--];
    if (last == t) {
        return;
    }
    if (at > 1 && before(last, l->heap[parent_of(at)])) {
        sift_up(l, at, last);
    } else {
        sift_down(l, at, last);
    }
}

size_t loop_timers(const struct loop *l)
{
    return l->n;
}

static void fire_due(struct loop *l)
{
    uint64_t newest = l->order; /* timers started by these callbacks wait for the next turn */

    while (l->n > 0 && l->heap[1]->due_ms <= loop_now_ms(l) && l->heap[1]->order < newest) {
        struct loop_timer *t = l->heap[1];
        loop_timer_stop(l, t);
        t->fn(t->arg);
    }
}

/* ---- turns ----------------------------------------------------------------------------------- */
static void update_now(struct loop *l)
{
    l->now_us = l->clock->mono_us(l->clock->arg);
}

static void arm_alarm(struct loop *l)
{
    double wait = 0;

    ev_timer_stop(l->ev, &l->alarm);
    if (l->n == 0) {
        return;
    }
    update_now(l);
    if (l->heap[1]->due_ms > loop_now_ms(l)) {
        wait = (double)(l->heap[1]->due_ms * 1000 - l->now_us) / 1e6;
    }
    ev_now_update(l->ev);
    ev_timer_set(&l->alarm, wait, 0.);
    ev_timer_start(l->ev, &l->alarm);
}

static void end_turn(struct loop *l)
{
    l->in_turn = false;
    if (l->turn_end != NULL) {
        l->turn_end(l->turn_end_arg);
    }
    for (struct loop_hook *h = l->hooks; h != NULL; h = l->next_hook) {
        l->next_hook = h->next;
        h->fn(h->arg);
    }
}

void loop_run_once(struct loop *l, bool wait)
{
    if (wait) {
        arm_alarm(l);
    }
    l->in_turn = true;
    ev_run(l->ev, wait ? EVRUN_ONCE : EVRUN_NOWAIT);
    update_now(l);
    fire_due(l);
    end_turn(l);
}

void loop_run(struct loop *l)
{
    ev_ref(l->ev); /* stay even when nothing but a wake-up could come */
    while (!l->stopping) {
        loop_run_once(l, true);
    }
    l->stopping = false;
    ev_unref(l->ev);
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
    ev_async_send(l->ev, &l->stop_wake);
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_us / 1000;
}

uint64_t loop_wall_us(const struct loop *l)
{
    return clock_wall_us(l->clock);
}

const struct clock *loop_clock(const struct loop *l)
{
    return l->clock;
}

void loop_advance(struct loop *l, struct clock_fake *f, uint64_t ms)
{
    uint64_t end_us = f->mono_us + ms * 1000;

    for (;;) {
        update_now(l);
        loop_run_once(l, false);
        if (l->n > 0 && l->heap[1]->due_ms * 1000 <= end_us) {
            uint64_t due_us = l->heap[1]->due_ms * 1000;
            if (due_us > f->mono_us) {
                clock_fake_advance(f, due_us - f->mono_us);
            }
            continue;
        }
        break;
    }
    clock_fake_advance(f, end_us - f->mono_us);
    update_now(l);
}

void loop_on_turn_end(struct loop *l, loop_fn *fn, void *arg)
{
    l->turn_end = fn;
    l->turn_end_arg = arg;
}

void loop_hook_add(struct loop *l, struct loop_hook *h, loop_fn *fn, void *arg)
{
    h->fn = fn;
    h->arg = arg;
    h->next = l->hooks;
    l->hooks = h;
}

void loop_hook_remove(struct loop *l, struct loop_hook *h)
{
    struct loop_hook **at = &l->hooks;

    while (*at != NULL && *at != h) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = h->next;
        if (l->next_hook == h) {
            l->next_hook = h->next;
        }
        h->next = NULL;
    }
}

bool loop_in_turn(const struct loop *l)
{
    return l->in_turn;
}

/* ---- descriptors ----------------------------------------------------------------------------- */
static int ev_mask(unsigned events)
{
    return ((events & LOOP_READ) != 0 ? EV_READ : 0) | ((events & LOOP_WRITE) != 0 ? EV_WRITE : 0);
}

static void on_io(struct ev_loop *ev, ev_io *w, int events)
{
    struct loop_io *io = (struct loop_io *)w;
    unsigned mask =
        ((events & EV_READ) != 0 ? LOOP_READ : 0u) | ((events & EV_WRITE) != 0 ? LOOP_WRITE : 0u);

    (void)ev;
    update_now(io->l);
    io->fn(io->arg, w->fd, mask);
}

enum err loop_io_start(struct loop *l, int fd, unsigned events, loop_io_fn *fn, void *arg,
                       struct loop_io **out)
{
    struct loop_io *io = mem_zalloc(sizeof *io);

    if (io == NULL) {
        return FAIL(E_NOMEM);
    }
    io->l = l;
    io->fn = fn;
    io->arg = arg;
    ev_io_init(&io->w, on_io, fd, ev_mask(events));
    if (events != 0) {
        ev_io_start(l->ev, &io->w);
    }
    *out = io;
    return E_OK;
}

void loop_io_events(struct loop_io *io, unsigned events)
{
    int fd = io->w.fd;

    if (ev_is_active(&io->w) && (io->w.events & (EV_READ | EV_WRITE)) == ev_mask(events)) {
        return;
    }
    ev_io_stop(io->l->ev, &io->w);
    ev_io_set(&io->w, fd, ev_mask(events));
    if (events != 0) {
        ev_io_start(io->l->ev, &io->w);
    }
}

void loop_io_stop(struct loop_io *io)
{
    if (io != NULL) {
        ev_io_stop(io->l->ev, &io->w);
        mem_free(io);
    }
}

/* ---- wake-ups and signals -------------------------------------------------------------------- */
static void on_wake(struct ev_loop *ev, ev_async *w, int events)
{
    struct loop_wake *k = (struct loop_wake *)w;

    (void)ev;
    (void)events;
    update_now(k->l);
    k->fn(k->arg);
}

enum err loop_wake_new(struct loop *l, loop_fn *fn, void *arg, struct loop_wake **out)
{
    struct loop_wake *k = mem_zalloc(sizeof *k);

    if (k == NULL) {
        return FAIL(E_NOMEM);
    }
    k->l = l;
    k->fn = fn;
    k->arg = arg;
    ev_async_init(&k->w, on_wake);
    ev_async_start(l->ev, &k->w);
    *out = k;
    return E_OK;
}

void loop_wake_send(struct loop_wake *w)
{
    ev_async_send(w->l->ev, &w->w);
}

void loop_wake_free(struct loop_wake *w)
{
    if (w != NULL) {
        ev_async_stop(w->l->ev, &w->w);
        mem_free(w);
    }
}

static void on_signal(struct ev_loop *ev, ev_signal *w, int events)
{
    struct loop_signal *s = (struct loop_signal *)w;

    (void)ev;
    (void)events;
    update_now(s->l);
    s->fn(s->arg);
}

enum err loop_signal_start(struct loop *l, int signo, loop_fn *fn, void *arg,
                           struct loop_signal **out)
{
    struct loop_signal *s = mem_zalloc(sizeof *s);

    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    s->l = l;
    s->fn = fn;
    s->arg = arg;
    ev_signal_init(&s->w, on_signal, signo);
    ev_signal_start(l->ev, &s->w);
    *out = s;
    return E_OK;
}

void loop_signal_stop(struct loop_signal *s)
{
    if (s != NULL) {
        ev_signal_stop(s->l->ev, &s->w);
        mem_free(s);
    }
}
