/* The table of what calls hold, and the choice among them. */
#include "gc/holdings.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { HEADS = 1024, LINE_HEADS = 4096 };

struct part {
    pthread_mutex_t lock;
    struct hlink *head[HEADS];
    struct hlink *caller[LINE_HEADS], *callee[LINE_HEADS]; /* of calls from lines, to lines */
};

struct holdings {
    unsigned n;
    struct part *part;
};

static void lock(struct part *p)
{
    BUG_ON(pthread_mutex_lock(&p->lock) != 0);
}

static void unlock(struct part *p)
{
    BUG_ON(pthread_mutex_unlock(&p->lock) != 0);
}

enum err holdings_new(unsigned workers, struct holdings **out)
{
    struct holdings *h = mem_zalloc(sizeof *h);
    enum err e = h != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    h->part = mem_zalloc_array(workers, sizeof *h->part);
    if (h->part == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    for (h->n = 0; h->n < workers; h->n++) {
        BUG_ON(pthread_mutex_init(&h->part[h->n].lock, NULL) != 0);
    }
    *out = h;
    h = NULL; /* moved */
out:
    holdings_free(h);
    return e;
}

void holdings_free(struct holdings *h)
{
    if (h != NULL) {
        for (unsigned i = 0; h->part != NULL && i < h->n; i++) {
            pthread_mutex_destroy(&h->part[i].lock);
        }
        mem_free(h->part);
        mem_free(h);
    }
}

static struct part *part_of(const struct holdings *h, uint16_t worker)
{
    BUG_ON(worker >= h->n);
    return &h->part[worker];
}

/* ---- the call's side ---------------------------------------------------------------------------
 */
/* Under the lock. */
static void push_line(struct hlink **heads, uint64_t line, struct hlink *l)
{
    if (line != 0) {
        hlist_push(&heads[line % LINE_HEADS], l);
    }
}

void holdings_put(struct holdings *h, struct holding *x)
{
    struct part *p = part_of(h, x->worker);

    lock(p);
    x->is_held = true;
    hlist_push(&p->head[x->number % HEADS], &x->by_number);
    push_line(p->caller, x->caller_line, &x->by_caller);
    push_line(p->callee, x->way.callee_line, &x->by_callee);
    unlock(p);
}

void holdings_drop(struct holdings *h, struct holding *x)
{
    struct part *p = part_of(h, x->worker);

    if (x->is_held) {
        lock(p);
        x->is_held = false;
        hlist_drop(&x->by_number);
        hlist_drop(&x->by_caller);
        hlist_drop(&x->by_callee);
        unlock(p);
    }
}

void holdings_way(struct holdings *h, struct holding *x, const struct holding_way *way)
{
    struct part *p = part_of(h, x->worker);

    if (memcmp(&x->way, way, sizeof *way) != 0) { /* nobody else writes it */
        lock(p);
        x->way = *way;
        hlist_drop(&x->by_callee);
        push_line(p->callee, way->callee_line, &x->by_callee);
        unlock(p);
    }
}

/* ---- choosing ----------------------------------------------------------------------------------
 */
static bool holds(const struct holding *x, enum holding_kind kind, uint64_t id)
{
    switch (kind) {
    case HELD_PLACE:
        return x->worker == id;
    case HELD_LINE:
        return x->caller_line == id;
    case HELD_PHONE:
        return x->caller_line == id || x->way.callee_line == id;
    case HELD_ROUTE:
        return x->way.route_out == id;
    case HELD_TRUNK:
        return x->way.trunk_in == id || x->way.trunk_out == id;
    case HELD_KINDS:
        break;
    }
    return false;
}

bool victim_holds(const struct victim *v, enum holding_kind kind, uint64_t id)
{
    const struct holding x = {.worker = v->worker, .caller_line = v->caller_line, .way = v->way};

    return holds(&x, kind, id);
}

typedef void holding_fn(void *arg, const struct holding *x);

static void each_of_all(const struct part *p, holding_fn *fn, void *arg)
{
    for (size_t i = 0; i < HEADS; i++) {
        for (struct hlink *l = p->head[i]; l != NULL; l = l->next) {
            fn(arg, HLIST_OF(l, struct holding, by_number));
        }
    }
}

/* Each once, also a call of the line to itself. */
static void each_of_line(const struct part *p, bool also_callee, uint64_t line, holding_fn *fn,
                         void *arg)
{
    for (struct hlink *l = p->caller[line % LINE_HEADS]; l != NULL; l = l->next) {
        const struct holding *x = HLIST_OF(l, struct holding, by_caller);
        if (x->caller_line == line) {
            fn(arg, x);
        }
    }
    for (struct hlink *l = also_callee ? p->callee[line % LINE_HEADS] : NULL; l; l = l->next) {
        const struct holding *x = HLIST_OF(l, struct holding, by_callee);
        if (x->way.callee_line == line && x->caller_line != line) {
            fn(arg, x);
        }
    }
}

/* Those that hold it. Under the lock. */
static void each_that_holds(const struct part *p, enum holding_kind kind, uint64_t id,
                            holding_fn *fn, void *arg)
{
    if (kind == HELD_LINE || kind == HELD_PHONE) {
        each_of_line(p, kind == HELD_PHONE, id, fn, arg);
    } else {
        each_of_all(p, fn, arg); /* fn looks for itself */
    }
}

static void copy(const struct holding *x, struct victim *v)
{
    *v = (struct victim){.number = x->number,
                         .began_us = x->began_us,
                         .caller_line = x->caller_line,
                         .way = x->way,
                         .worker = x->worker,
                         .rank = x->rank,
                         .spared = x->spared,
                         .is_taken = x->is_taken};
    memcpy(v->taken_by, x->taken_by, sizeof v->taken_by);
    snprintf(v->id, sizeof v->id, "%s", x->id);
    snprintf(v->call_id, sizeof v->call_id, "%s", x->call_id);
    snprintf(v->caller, sizeof v->caller, "%s", x->caller);
    snprintf(v->called, sizeof v->called, "%s", x->called);
}

struct best { /* so far */
    bool any;
    uint8_t rank;
    uint16_t worker;
    uint64_t began_us, number;
};

static bool is_better(const struct holding *x, const struct best *b)
{
    return !b->any || x->rank < b->rank || (x->rank == b->rank && x->began_us > b->began_us) ||
           (x->rank == b->rank && x->began_us == b->began_us && x->worker == b->worker &&
            x->number > b->number);
}

struct search {
    const struct holding_wish *w;
    struct best best;
};

static void weigh(void *arg, const struct holding *x)
{
    struct search *s = arg;

    if (holds(x, s->w->kind, s->w->id) && x->rank < s->w->below && x->spared == SPARED_NOT &&
        !x->is_taken && is_better(x, &s->best)) {
        s->best = (struct best){true, x->rank, x->worker, x->began_us, x->number};
    }
}

static void look(struct part *p, struct search *s)
{
    lock(p);
    each_that_holds(p, s->w->kind, s->w->id, weigh, s);
    unlock(p);
}

static struct holding *find(struct part *p, uint64_t number)
{
    for (struct hlink *l = p->head[number % HEADS]; l != NULL; l = l->next) {
        struct holding *x = HLIST_OF(l, struct holding, by_number);
        if (x->number == number) {
            return x;
        }
    }
    return NULL;
}

bool holdings_take_this(struct holdings *h, uint16_t worker, uint64_t number, const char *by,
                        struct victim *out)
{
    struct part *p = part_of(h, worker);
    struct holding *x = NULL;
    bool taken = false;

    lock(p);
    x = find(p, number);
    taken = x != NULL && !x->is_taken && x->spared == SPARED_NOT;
    if (taken) {
        copy(x, out);
        x->is_taken = true;
        snprintf(x->taken_by, sizeof x->taken_by, "%s", by);
    }
    unlock(p);
    return taken;
}

bool holdings_copy(struct holdings *h, uint16_t worker, uint64_t number, struct victim *out)
{
    struct part *p = part_of(h, worker);
    const struct holding *x = NULL;

    lock(p);
    x = find(p, number);
    if (x != NULL) {
        copy(x, out);
    }
    unlock(p);
    return x != NULL;
}

bool holdings_take(struct holdings *h, const struct holding_wish *w, const char *by,
                   struct victim *out)
{

    for (;;) {
        struct search s = {.w = w};
        unsigned from = w->kind == HELD_PLACE ? (unsigned)w->id : 0;
        unsigned to = w->kind == HELD_PLACE ? from + 1 : h->n;
        for (unsigned i = from; i < to; i++) {
            look(&h->part[i], &s);
        }
        if (!s.best.any) {
            return false;
        }
        if (holdings_take_this(h, s.best.worker, s.best.number, by, out)) {
            return true;
        } /* it ended, or somebody else was first: the next one */
    }
}

void holdings_let_go(struct holdings *h, const struct victim *v)
{
    struct part *p = part_of(h, v->worker);
    struct holding *x = NULL;

    lock(p);
    x = find(p, v->number);
    if (x != NULL) {
        x->is_taken = false;
    }
    unlock(p);
}

/* ---- looking -----------------------------------------------------------------------------------
 */
void holdings_each(struct holdings *h, uint16_t worker,
                   void (*fn)(void *arg, const struct holding *x), void *arg)
{
    struct part *p = part_of(h, worker);

    lock(p);
    each_of_all(p, fn, arg);
    unlock(p);
}

struct count {
    struct holding_wish w;
    size_t n;
};

static void count_one(void *arg, const struct holding *x)
{
    struct count *c = arg;

    c->n += holds(x, c->w.kind, c->w.id);
}

size_t holdings_count(struct holdings *h, enum holding_kind kind, uint64_t id)
{
    struct count c = {.w = {kind, id, 0}};

    for (unsigned i = 0; i < h->n; i++) {
        lock(&h->part[i]);
        each_that_holds(&h->part[i], kind, id, count_one, &c);
        unlock(&h->part[i]);
    }
    return c.n;
}
