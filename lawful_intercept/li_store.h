/* lawful_intercept/li_store.h - agencies, orders and the officers' log in a database of their own,
 * each row sealed under the intercept key; and a sealed copy in a file, so that deliveries go on
 * after a restart while the database is away.
 *
 * Tables     migrations/li: item (kind, id, version, sealed), event (seq, at, sealed, prev, hash).
 * item:  01 | nonce (12) | AES-256-GCM(HKDF(key, "headgate li item v1"), nonce, AAD kind ":" id,
 * JSON) event: the same with AAD "event:" seq; hash = SHA-256(seq ":" at ":" hex of sealed ":" hex
 * of prev). Writes are ordered by an advisory lock, so that versions become visible in their order.
 * Errors     E_IO: the database is away (nothing was changed); E_TIMEOUT: it went away when it was
 * to commit, and nobody knows; E_EXISTS: that id is taken already, or the item is not what the
 * officer's act began with: another node was quicker. Threads    any: one lock, one connection. */
#ifndef LAWFUL_INTERCEPT_LI_STORE_H
#define LAWFUL_INTERCEPT_LI_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

struct li_store;

struct li_store_cfg {
    const char *conninfo;
    const char *copy;         /* file */
    const struct secret *key; /* 32 octets; kept */
};

MUST_CHECK enum err li_store_open(const struct li_store_cfg *cfg, struct li_store **out);
void li_store_close(struct li_store *s); /* NULL is fine */

enum li_kind { LI_ITEM_AGENCY, LI_ITEM_ORDER };
typedef enum err li_item_fn(void *arg, enum li_kind kind, const json_t *item);

/* Items that are newer than what was read before; the first time all, from the copy when the
 * database is away (*from_copy). E_IO: away, and nothing new. */
MUST_CHECK enum err li_store_read(struct li_store *s, li_item_fn *fn, void *arg, bool *from_copy);

/* An officer's act: the item and the event, or neither. was: what the act began with; NULL: it must
 * not be there yet. */
MUST_CHECK enum err li_store_write(struct li_store *s, enum li_kind kind, uint64_t id,
                                   const json_t *item, const json_t *was, const char *who,
                                   const char *action);
/* What changed nothing: refusals, reading of records. */
MUST_CHECK enum err li_store_note(struct li_store *s, const char *who, const char *action,
                                  const char *object);
/* Events behind that number: [{"seq","at","who","action","object","hash"}]; new reference. *sound:
 * their chain of hashes holds. */
MUST_CHECK enum err li_store_events(struct li_store *s, uint64_t after, unsigned limit,
                                    json_t **out, bool *sound);
bool li_store_is_up(struct li_store *s);

#endif
