/* bti/store.h - what a BTI keeps for good: its key, what it shares with the provisioning server,
 * the provider's root, where to go.
 *
 * Files      STORE: enrolled. STORE.pending: a key that was made and may have reached the
 * provisioning server already, so that an enrolment whose last frame was lost runs again with the
 * same key; it goes away when STORE is written.
 * Memory     secret_alloc(); store_free() wipes.
 * Errors     as bti/keyfile.h.
 * Threads    one; between processes the counter is guarded by the lock. */
#ifndef BTI_STORE_H
#define BTI_STORE_H

#include "bti/keyfile.h"
#include "provisioning/enrol_bti.h"

#define STORE_ROOT_MAX 8192
#define STORE_NAME_MAX 256

struct store_data {
    enum wire_key_kind kind;
    struct p256_key k_u;  /* KEY_P256 */
    struct secret shared; /* KEY_SYMMETRIC: 64 octets */
    uint8_t mac[6];
    /* from here on only of an enrolled store */
    struct ltk ltk;
    uint64_t counter; /* of the last session request */
    int64_t ahead_us; /* the provisioning server's clock minus ours, when they differ a lot */
    struct enrol_ack ack;
    char domain[STORE_NAME_MAX];
    char ps_name[STORE_NAME_MAX]; /* empty: any of the root's */
    size_t root_n;
    char root[STORE_ROOT_MAX]; /* PEM */
};

struct store {
    const char *path;
    struct passphrase pass;
    struct store_data d;
};

MUST_CHECK enum err store_new(const char *path, const char *passphrase_file_or_null,
                              struct store **out);
void store_free(struct store *s);
MUST_CHECK enum err store_load(struct store *s);         /* STORE */
MUST_CHECK enum err store_load_pending(struct store *s); /* STORE.pending: kind, key, mac */
MUST_CHECK enum err store_save(struct store *s);
MUST_CHECK enum err store_save_pending(struct store *s);
void store_forget_pending(struct store *s);
/* Loads again under the lock, counts one on (and past at_least), takes over the clock difference,
 * saves, and only then gives the number out. */
MUST_CHECK enum err store_next_counter(struct store *s, uint64_t at_least, int64_t ahead_us,
                                       uint64_t *out);
/* A sentence for a user. */
const char *store_trouble(enum err e);

/* Bodies, for tests. */
MUST_CHECK enum err store_encode(const struct store_data *d, bool pending, uint8_t *body,
                                 size_t max, size_t *out_n);
MUST_CHECK enum err store_decode(struct view body, bool pending, struct store_data *out);

#endif
