/* gc/certs.h - the gate controller's certificate, key and authorities (tls.*), and their end in
 * view: a gauge, and an alarm each day of the last two weeks.
 *
 * Threads    main's; the credentials may be read by others. */
#ifndef GC_CERTS_H
#define GC_CERTS_H

#include "base/loop.h"
#include "base/metrics.h"
#include "base/tls_cred.h"
#include "gc/settings.h"

struct certs { /* zero before certs_open() */
    struct loop *loop;
    struct metrics *metrics;
    unsigned slot, gauge;
    struct tls_cred *cred; /* never NULL once open */
    struct loop_timer watch;
    uint64_t warned_us; /* wall; 0: not yet */
    _Atomic uint64_t expires_us;
};

/* Before threads. slot: of main. Any error was logged, with the file. An expired certificate is
 * taken here, with an alarm: BTIs need none, and a node that does not start serves nobody. */
MUST_CHECK enum err certs_open(struct certs *c, struct loop *l, struct metrics *m, unsigned slot,
                               const struct gc_settings *set);
/* SIGHUP: reads the files again; an error was logged as alarm and the old ones stay. A certificate
 * that is over is no good reason to put away one that works: E_DENIED. */
MUST_CHECK enum err certs_read(const struct certs *c, const struct gc_settings *set,
                               struct tls_cred **out);
void certs_use(struct certs *c, struct tls_cred *fresh); /* moves */
void certs_close(struct certs *c);
/* Any thread: wall time when our certificate ends; 0: there is none. */
uint64_t certs_expire_us(const struct certs *c);

#endif
