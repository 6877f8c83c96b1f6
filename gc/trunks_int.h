/* gc/trunks_int.h - between trunks.c (table), trunks_dns.c and trunks_health.c (worker 0). */
#ifndef GC_TRUNKS_INT_H
#define GC_TRUNKS_INT_H

#include <pthread.h>

#include "base/hlist.h"
#include "gc/trunks.h"
#include "gc/worker_int.h"

enum { TRUNK_HEADS = 256 };

struct trunk_ping {  /* worker 0 only */
    struct leg *leg; /* NULL: no question is out */
    struct sip_flow flow;
    char call_id[OWN_CALL_ID];
    unsigned sent; /* copies of it */
    uint64_t due_ms;
};

struct trunk_place {
    struct sip_place where;
    bool is_down;
    uint32_t missed;
    uint64_t last_answer_us, suspect_until_ms;
    struct trunk_ping ping;
};

/* Written under the lock, but what belongs to worker 0 alone. */
struct trunk_state {
    struct hlink by_id, in_list;
    struct trunks *t;
    uint64_t trunk_id;
    char name[TRUNK_NAME_MAX];
    bool is_known;          /* in the snapshot that was looked at last */
    bool is_listed;         /* worker 0 knows of it, and frees it */
    uint32_t live, routine; /* calls; those of them without priority */
    uint32_t kept;          /* channels that wait for calls which preempt */
    uint32_t cps_milli;     /* of a call: what is gone of this second */
    uint64_t cps_ms;
    uint64_t calls_total, refused_total, failed_total;
    bool is_stale;
    enum err resolved;
    unsigned n;
    struct trunk_place place[LOCATE_MAX];
    /* worker 0 only, as is in_list: */
    char host[DNS_NAME_MAX];
    struct sip_locate_ask ask; /* its host is not valid: host above */
    uint32_t ping_s;
    bool is_asking, is_seen;
    struct sip_locate *locate;
    uint64_t resolve_ms; /* when to ask DNS again */
};

struct route_state { /* while it has calls */
    struct hlink by_id;
    uint64_t route_id;
    uint32_t live, kept;
};

struct trunks {
    pthread_mutex_t lock;
    struct hlink *trunk[TRUNK_HEADS], *route[TRUNK_HEADS];
    size_t n;
    /* worker 0 only: */
    struct hlink *listed;
    struct worker *w;
    struct dns *dns;
    uint64_t snapshot_id; /* looked at last */
    bool has_synced;
};

void trunks_lock(struct trunks *t);
void trunks_unlock(struct trunks *t);
/* Calls fn for each state that worker 0 knows of; fn may remove it. Worker 0. */
void trunks_each(struct trunks *t, void (*fn)(struct trunk_state *s, void *arg), void *arg);

/* trunks_dns.c */
void trunk_resolve(struct trunk_state *s, uint64_t now_ms);
void trunk_resolve_stop(struct trunk_state *s);

/* trunks_health.c */
void trunk_health_tick(struct trunk_state *s, uint64_t now_ms);
void trunk_health_stop(struct trunk_state *s); /* abandons its questions */
void trunk_place_stop(struct trunk_place *p);

#endif
