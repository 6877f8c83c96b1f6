/* base/metrics.h - counters, gauges and histograms in Prometheus text.
 *
 * Shape      a metric is declared once at start-up, before threads; each thread has its own slot,
 * so an increment is one relaxed add on memory nobody else writes. Rendering sums the slots. Names
 * snake_case, unit suffix (_seconds, _bytes, _total); no subscriber identity in a label. Threads
 * metric_add()/metric_observe_us(): any, adds are atomic; a slot for each thread only keeps them
 * apart in the caches. metric_set(): one thread for each slot. metrics_render(): any. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct metrics;
/* METRIC_HISTOGRAM has buckets from 100 us to 5 s, METRIC_FINE is one from 1 us to 100 ms. */
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_FINE };

MUST_CHECK enum err metrics_new(unsigned slots, struct metrics **out);
void metrics_free(struct metrics *m);
/* name/help/labels are literals that outlive m; labels like "reason=\"mac\"" or NULL. The same name
 * may be declared several times with different labels, one after the other. Returns the id. */
unsigned metric_declare(struct metrics *m, enum metric_kind kind, const char *name,
                        const char *labels, const char *help);
void metric_add(struct metrics *m, unsigned slot, unsigned id,
                int64_t by); /* gauge: may be negative */
void metric_set(struct metrics *m, unsigned slot, unsigned id, int64_t to); /* gauge */
void metric_observe_us(struct metrics *m, unsigned slot, unsigned id, uint64_t us);
int64_t metric_sum(const struct metrics *m, unsigned id);
/* Metrics whose labels come and go: fn writes them as snprintf does, behind all others. One for
 * each m, before the first rendering; it runs on the threads that render. */
typedef size_t metrics_more_fn(void *arg, char *dst, size_t dst_bytes);
void metrics_more(struct metrics *m, metrics_more_fn *fn, void *arg); /* fn NULL: no more */
/* Appends text; returns octets that the whole text needs (as snprintf). */
size_t metrics_render(const struct metrics *m, char *dst, size_t dst_bytes);

#endif
