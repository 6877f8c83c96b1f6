/* gc/stir_int.h - what the files of STIR share; nobody else includes it, tests excepted. */
#ifndef GC_STIR_INT_H
#define GC_STIR_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "authz/passport.h"
#include "gc/stir.h"
#include "gc/stir_cache.h"
#include "gc/stir_replay.h"
#include "gc/stir_service.h"

enum {
    STIR_FRESH_S = 60,                /* RFC 8224 section 6.2 step 4, either way */
    STIR_REPLAY_S = 2 * STIR_FRESH_S, /* from a minute ahead to a minute behind */
    STIR_REPLAY_ENTRIES = 65536
};

struct stir_live { /* what the files say; immutable, counted */
    atomic_uint holds;
    struct ec_key *key; /* NULL: nothing is signed */
    char url[STIR_OWN_URL_MAX + 1];
    struct stir_anchors *anchors; /* NULL: nobody's signature counts */
    struct stir_rules rules;
    uint64_t cache_max_s;
};

struct stir {
    struct stir_cfg cfg;          /* its set, plan and cluster_key are gone */
    unsigned fetches, fetch_time; /* metrics */
    struct secret *origid;        /* key of origids */
    struct stir_fetcher *fetcher; /* NULL: the seam */
    struct stir_cache *cache;
    struct stir_replay *replay;
    pthread_mutex_t lock;
    struct stir_live *live; /* under lock */
};

struct stir_live *stir_hold(struct stir *s);
void stir_let_go(struct stir_live *l);
/* The canonical number of a URI or a name-addr, by our dial plan where it has a say. False: it is
 * no number. */
bool stir_number_of_uri(struct worker *w, struct view uri, char out[PASSPORT_TN_MAX]);
bool stir_number_of(struct worker *w, struct view name_addr, char out[PASSPORT_TN_MAX]);

#endif
