/* gc/worker.h - the workers: threads that share nothing but the session table, the location table
 * and the snapshot. Each has its own loop, sockets (SO_REUSEPORT), transactions and calls.
 *
 * Owner      worker = keyed hash of the Call-ID modulo the number of workers. A message that
 * arrives elsewhere is copied to the owner's queue (bounded; past it dropped and counted). A
 * message that must leave by a connection of another worker is copied to that worker's queue.
 * Pinning    a turn of a worker's loop uses one snapshot (store_snapshot .. store_quiescent).
 * Threads    as said for each function. */
#ifndef GC_WORKER_H
#define GC_WORKER_H

#include "authz/sealed.h"
#include "authz/sessions.h"
#include "base/metrics.h"
#include "base/tls.h"
#include "gc/settings.h"
#include "gc/store.h"
#include "gc/trace.h"
#include "routing/location.h"

struct workers;
struct call_events;
struct stir;
struct tap;

struct workers_cfg { /* all borrowed, and outlive the workers */
    const struct gc_settings *set;
    const struct gc_plan *plan;
    const struct tls_cred *cred; /* NULL: TLS with PSKs only. Needed during workers_new() only */
    struct sessions *sessions;
    struct location *location;
    struct metrics *metrics;          /* worker i owns slot i */
    const struct secret *cluster_key; /* read by workers_new() only; NULL: a random one */
    struct tap *tap;                  /* lawful_intercept/tap.h; NULL: none. Worker i has ring i */
    struct stir *stir;                /* gc/stir_service.h; NULL: no signing, no checking */
    struct hep *hep;                  /* gc/hep.h; NULL: no collector */
    struct call_events *events;       /* gc/call_events.h; NULL: nobody watches */
    unsigned n;                       /* number of workers */
    const struct clock *clock;
};

/* Declares the metrics and makes loops, traces and transports; binds the listeners (E_IO: logs
 * which). Main thread. */
MUST_CHECK enum err workers_new(const struct workers_cfg *cfg, struct workers **out);
/* Starts the threads. From here on the snapshot comes from store. */
MUST_CHECK enum err workers_start(struct workers *w, struct store *store);
/* New calls get 503 with Retry-After (emergency calls excepted); any thread. */
void workers_drain(struct workers *w);
/* Main thread: another configuration is in force, a tick (100 ms) later for all workers. set and
 * plan: what gc_reload() merged and gc_settings_check() made of it, copied; conf: the texts of what
 * is new in it, taken over on E_OK. Listeners that are new are opened (E_IO: one cannot be, it is
 * logged, and nothing has changed); those that are not there any more are closed, while their
 * connections stay. cred: the certificates from now on; NULL: none. */
MUST_CHECK enum err workers_reload(struct workers *w, const struct gc_settings *set,
                                   const struct gc_plan *plan, struct conf *conf,
                                   const struct tls_cred *cred);
size_t workers_calls(const struct workers *w); /* live calls in all; any thread */
/* Whether no worker uses an older snapshot than that of store_generation(), or an older
 * configuration than the last that was taken over. Any thread. */
bool workers_follow(const struct workers *w, uint64_t generation);
void workers_stop(struct workers *w); /* ends the threads, joins; main thread */
void workers_free(struct workers *w);
struct trace *workers_trace(struct workers *w, unsigned worker); /* any thread */

/* Any thread: ends a live call with BYE both ways (CANCEL and 487/480 when early). Asynchronous; an
 * id that is not live is ignored. reason: text for a Reason header, copied. */
void workers_end_call(struct workers *w, const char *id, const char *reason);
/* Any thread: the same with every call but emergency calls, whose voice does not need us. */
void workers_end_calls(struct workers *w);
/* Any thread: closes every connection of that session. */
void workers_close_kid(struct workers *w, const uint8_t kid[BTI_KID_BYTES]);

/* Provisioning servers and their health (OPTIONS ping by worker 0). Any thread. */
struct ps_state {
    char uri[256];
    bool healthy;
    uint64_t last_answer_us; /* wall; 0: never */
    uint32_t missed;
};
size_t workers_ps(struct workers *w, struct ps_state *out, size_t max);
/* The hosts that the configuration in force names. Any thread. */
struct peers_named {
    unsigned n_trusted, n_emergency;
    struct net_addr trusted[GC_TRUSTED_MAX];
    struct gc_next_hop emergency[GC_EMERGENCY_MAX];
};
void workers_peers(struct workers *w, struct peers_named *out);
/* For the usable() of routing/route.h, arg: a struct workers. Any thread. */
const char *workers_obstacle(const struct workers *w, const struct route *r, const struct trunk *t);
/* Rank of an r-value by the configuration in force (gc/priority.h). Any thread. */
unsigned workers_rank(struct workers *w, struct view r_value);
/* What is known of trunks now. Any thread. */
struct trunk_view;
size_t workers_trunks(const struct workers *w, struct trunk_view *out, size_t max);

/* Secrets for the database, sealed as authz/sealed.h says. Any thread. username: 1 to 64 token
 * characters; password: 1 to 64 octets. E_RANGE. */
MUST_CHECK enum err workers_seal_credential(const struct workers *w, struct view username,
                                            enum digest_algorithm algorithm, struct view password,
                                            uint8_t sealed[SEALED_MAX], size_t *out_n);
MUST_CHECK enum err workers_seal_trunk(const struct workers *w, struct view trunk, struct view user,
                                       struct view password, uint8_t sealed[SEALED_MAX],
                                       size_t *out_n);
const char *workers_realm(const struct workers *w); /* of Digest: the domain */

#endif
