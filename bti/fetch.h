/* bti/fetch.h - asks the provisioning servers for a session: docs/protocol.md "Sessions". No user
 * takes part.
 *
 * Servers    those of the store in order (or the one given), each with a deadline; one that cannot
 * be reached, is busy or is not trusted is passed over. A counter or clock that the server calls
 * stale is corrected by its (authenticated) answer and asked again once. The counter is stored
 * before it is sent.
 * Result     `done` is called once, never from inside fetch_start(). The session is the receiver's.
 * Threads    the loop's. */
#ifndef BTI_FETCH_H
#define BTI_FETCH_H

#include "base/loop.h"
#include "base/net.h"
#include "bti/mac.h"
#include "bti/say.h"
#include "bti/store.h"

struct fetch;
/* session NULL: it failed, `code` (an enum bti_exit) and `why` (a sentence, valid in the call)
 * say how. */
typedef void fetch_fn(void *arg, struct session *session, enum bti_exit code, const char *why);

struct fetch_cfg {
    struct store *store;
    const struct pki_root *root;
    struct net_addr local;  /* port ignored; family 0 any */
    struct net_addr server; /* family 0: the store's */
    fetch_fn *done;
    void *arg;
};
MUST_CHECK enum err fetch_start(struct loop *l, const struct fetch_cfg *cfg, struct fetch **out);
void fetch_cancel(struct fetch *f); /* NULL is fine; also frees one that is done */

#endif
