/* gc/stir_fetch.h - fetches certificates of other signers by https: one thread, the one door to
 * libcurl. It never follows a redirect, uses no proxy, keeps no cookies, and connects only where
 * gc/stir_net.h allows: that is asked about the address which is really connected to, whatever a
 * name says.
 *
 * Bounds     STIR_BODY_MAX octets; rules.timeout_ms for the whole; RUNNING_MAX at a time, QUEUE_MAX
 *            that wait. A server that stays silent holds up only itself.
 * Threads    ask, set: any. The answer comes on the fetcher's thread. */
#ifndef GC_STIR_FETCH_H
#define GC_STIR_FETCH_H

#include <stdbool.h>

#include "gc/stir_net.h"

enum { STIR_BODY_MAX = 65536 };

enum stir_fetch_result {
    STIR_FETCH_OK,
    STIR_FETCH_REFUSED,     /* by gc/stir_net.h: URL, port or address */
    STIR_FETCH_ANSWER,      /* no 200, a redirect, nothing or too much in it */
    STIR_FETCH_TLS,         /* the server did not prove its name */
    STIR_FETCH_TIMEOUT,     /* all the rest may be better in a minute */
    STIR_FETCH_UNREACHABLE, /* no address, no connection, broken off */
    STIR_FETCH_FULL,        /* too many wait already */
    STIR_FETCH_RESULTS
};
extern const char *const stir_fetch_names[STIR_FETCH_RESULTS]; /* for labels and logs */

struct stir_fetched {
    const char *url;
    enum stir_fetch_result result;
    struct view body; /* STIR_FETCH_OK */
    bool has_max_age; /* of Cache-Control; no-store and no-cache are 0 */
    uint64_t max_age_s;
    uint64_t took_us;
};
typedef void stir_fetched_fn(void *arg, const struct stir_fetched *f);

struct stir_fetcher;

/* Starts the thread. rules are copied. E_NOMEM, E_IO. */
MUST_CHECK enum err stir_fetcher_start(const struct stir_rules *rules, stir_fetched_fn *fn,
                                       void *arg, struct stir_fetcher **out);
void stir_fetcher_set(struct stir_fetcher *f, const struct stir_rules *rules); /* copied */
/* A good URL of less than STIR_URL_MAX octets. False: full. fn is called once, unless
 * stir_fetcher_stop() comes first. */
bool stir_fetcher_ask(struct stir_fetcher *f, const char *url);
void stir_fetcher_stop(struct stir_fetcher *f); /* joins; NULL is fine */

#endif
