/* gc/stir_service.h - what STIR/SHAKEN needs besides calls: our key, trust anchors, certificates of
 * others and the thread that fetches them.
 *
 * Files      read at the start and by SIGHUP; what is wrong then is logged as alarm, and the old
 *            ones stay in force. Certificates that were fetched are forgotten by each reload.
 * Threads    open, reload, close: main's. All else is for the workers (gc/stir.h). */
#ifndef GC_STIR_SERVICE_H
#define GC_STIR_SERVICE_H

#include "base/clock.h"
#include "base/metrics.h"
#include "base/secret.h"
#include "gc/settings.h"
#include "gc/stir_fetch.h"

struct stir;

struct stir_cfg {
    const struct gc_settings *set;
    const struct gc_plan *plan;
    const struct secret *cluster_key; /* read by stir_open() only */
    struct metrics *metrics;
    unsigned slot; /* of the fetcher's thread */
    const struct clock *clock;
    /* NULL: a fetcher of our own. Tests: takes the question; false: full. The answer goes to
     * stir_fetched(). */
    bool (*ask)(void *arg, const char *url);
    void *arg;
};

/* Before threads: declares metrics. E_IO, E_PARSE, E_DENIED, E_NOTFOUND: a file, logged; E_NOMEM.
 */
MUST_CHECK enum err stir_open(const struct stir_cfg *cfg, struct stir **out);
MUST_CHECK enum err stir_reload(struct stir *s, const struct gc_settings *set,
                                const struct gc_plan *plan);
/* After the workers' threads, before the workers. NULL is fine. */
void stir_close(struct stir *s);
/* stir_fetched_fn of the fetcher, or of a test. */
void stir_fetched(void *stir, const struct stir_fetched *f);

#endif
