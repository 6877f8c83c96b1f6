#include "base/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define METRICS_MAX 256
#define BUCKETS     12

static const uint64_t coarse_us[BUCKETS - 1] = {100,   250,   500,    1000,    2500,   5000,
                                                10000, 50000, 250000, 1000000, 5000000};
static const uint64_t fine_us[BUCKETS - 1] = {1, 2, 5, 10, 20, 50, 100, 250, 1000, 10000, 100000};

struct declared {
    enum metric_kind kind;
    const char *name, *labels, *help;
};

struct cell {
    _Atomic int64_t value; /* histogram: sum of microseconds */
    _Atomic int64_t bucket[BUCKETS];
};

struct metrics {
    unsigned slots, n;
    struct declared d[METRICS_MAX];
    struct cell *cells; /* [slot * METRICS_MAX + id] */
    metrics_more_fn *more;
    void *more_arg;
};

enum err metrics_new(unsigned slots, struct metrics **out)
{
    struct metrics *m = mem_zalloc(sizeof *m);

    if (m == NULL ||
        (m->cells = mem_zalloc_array((size_t)slots * METRICS_MAX, sizeof *m->cells)) == NULL) {
        mem_free(m);
        return FAIL(E_NOMEM);
    }
    m->slots = slots;
    *out = m;
    return E_OK;
}

void metrics_free(struct metrics *m)
{
    if (m != NULL) {
        mem_free(m->cells);
        mem_free(m);
    }
}

unsigned metric_declare(struct metrics *m, enum metric_kind kind, const char *name,
                        const char *labels, const char *help)
{
    BUG_ON(m->n == METRICS_MAX);
    for (unsigned i = 0; i < m->n; i++) { /* one name, one kind, one place: HELP and TYPE once */
        BUG_ON(strcmp(m->d[i].name, name) == 0 &&
               (m->d[i].kind != kind || strcmp(m->d[m->n - 1].name, name) != 0));
    }
    m->d[m->n] = (struct declared){kind, name, labels, help};
    return m->n++;
}

static struct cell *cell_of(const struct metrics *m, unsigned slot, unsigned id)
{
    BUG_ON(slot >= m->slots || id >= m->n);
    return &m->cells[(size_t)slot * METRICS_MAX + id];
}

void metric_add(struct metrics *m, unsigned slot, unsigned id, int64_t by)
{
    atomic_fetch_add_explicit(&cell_of(m, slot, id)->value, by, memory_order_relaxed);
}

void metric_set(struct metrics *m, unsigned slot, unsigned id, int64_t to)
{
    atomic_store_explicit(&cell_of(m, slot, id)->value, to, memory_order_relaxed);
}

static const uint64_t *bounds_of(const struct declared *d)
{
    return d->kind == METRIC_FINE ? fine_us : coarse_us;
}

void metric_observe_us(struct metrics *m, unsigned slot, unsigned id, uint64_t us)
{
    struct cell *c = cell_of(m, slot, id);
    const uint64_t *bound_us = bounds_of(&m->d[id]);
    unsigned b = 0;

    while (b < BUCKETS - 1 && us > bound_us[b]) {
        b++;
    }
    atomic_fetch_add_explicit(&c->bucket[b], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->value, (int64_t)us, memory_order_relaxed);
}

int64_t metric_sum(const struct metrics *m, unsigned id)
{
    int64_t sum = 0;

    for (unsigned s = 0; s < m->slots; s++) {
        sum += atomic_load_explicit(&cell_of(m, s, id)->value, memory_order_relaxed);
    }
    return sum;
}

struct text {
    char *p;
    size_t n, max;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    bool room = t->n < t->max;
    char *to = room ? t->p + t->n : NULL;
    int n = 0;

    va_start(ap, fmt);
    n = vsnprintf(to, room ? t->max - t->n : 0, fmt, ap);
    va_end(ap);
    t->n += n > 0 ? (size_t)n : 0;
}

static void put_histogram(const struct metrics *m, unsigned id, struct text *t)
{
    const struct declared *d = &m->d[id];
    const char *l = d->labels != NULL ? d->labels : "", *comma = d->labels != NULL ? "," : "";
    const uint64_t *bound_us = bounds_of(d);
    int64_t count = 0;

    for (unsigned b = 0; b < BUCKETS; b++) {
        for (unsigned s = 0; s < m->slots; s++) {
            count += atomic_load_explicit(&cell_of(m, s, id)->bucket[b], memory_order_relaxed);
        }
        if (b < BUCKETS - 1) {
            put(t, "%s_bucket{%s%sle=\"%g\"} %" PRId64 "\n", d->name, l, comma,
                (double)bound_us[b] / 1e6, count);
        } else {
            put(t, "%s_bucket{%s%sle=\"+Inf\"} %" PRId64 "\n", d->name, l, comma, count);
        }
    }
    put(t, "%s_sum%s%s%s %" PRId64 ".%06" PRId64 "\n", d->name, *l ? "{" : "", l, *l ? "}" : "",
        metric_sum(m, id) / 1000000, metric_sum(m, id) % 1000000);
    put(t, "%s_count%s%s%s %" PRId64 "\n", d->name, *l ? "{" : "", l, *l ? "}" : "", count);
}

void metrics_more(struct metrics *m, metrics_more_fn *fn, void *arg)
{
    m->more = fn;
    m->more_arg = arg;
}

size_t metrics_render(const struct metrics *m, char *dst, size_t dst_bytes)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram", "histogram"};
    struct text t = {dst, 0, dst_bytes};

    for (unsigned i = 0; i < m->n; i++) {
        const struct declared *d = &m->d[i];
        if (i == 0 || strcmp(d->name, m->d[i - 1].name) != 0) {
            put(&t, "# HELP %s %s\n# TYPE %s %s\n", d->name, d->help, d->name, kinds[d->kind]);
        }
        if (d->kind == METRIC_HISTOGRAM || d->kind == METRIC_FINE) {
            put_histogram(m, i, &t);
        } else if (d->labels != NULL) {
            put(&t, "%s{%s} %" PRId64 "\n", d->name, d->labels, metric_sum(m, i));
        } else {
            put(&t, "%s %" PRId64 "\n", d->name, metric_sum(m, i));
        }
    }
    if (m->more != NULL) {
        bool room = t.n < t.max;
        t.n += m->more(m->more_arg, room ? dst + t.n : NULL, room ? t.max - t.n : 0);
    }
    return t.n;
}
