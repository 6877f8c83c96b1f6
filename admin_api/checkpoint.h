/* admin_api/checkpoint.h - signed checkpoints of the audit log: "row seq had this hash at this
 * time", by a key that the database never sees (docs/admin-api.md, "Audit").
 *
 * Signed text  "headgate audit checkpoint\n", the row's number, "\n", its hash in lower-case hex,
 * "\n", the time as 2026-11-24T14:03:11.000123Z, "\n". ES256 (RFC 7518 section 3.4), 64 octets.
 * Way          a thread of its own looks at the log each second or less often, and signs its last
 * row when `rows` came since the last checkpoint, or any and `every_ms` passed. A row that this
 * process has signed and that is gone or other now is an error in the log (audit.broken), and
 * nothing more is signed. Threads any. */
#ifndef ADMIN_API_CHECKPOINT_H
#define ADMIN_API_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { CHECKPOINT_TEXT_MAX = 192, CHECKPOINT_KEY_ID_CHARS = 16, CHECKPOINT_PEM_MAX = 512 };

struct checkpoints;
struct checkpoints_cfg {
    const char *conninfo; /* the database, as hg_api */
    const char *key;      /* PEM file of a P-256 key (base/ec_sign.h) */
    uint64_t rows;        /* 1000 */
    uint64_t every_ms;    /* 5 min */
};
/* E_DENIED, E_PARSE, E_NOTFOUND, E_IO: the key's file, in words in `why`. */
MUST_CHECK enum err checkpoints_open(const struct checkpoints_cfg *cfg, struct checkpoints **out,
                                     char *why, size_t why_bytes);
void checkpoints_close(struct checkpoints *c); /* NULL is fine */
/* The first 16 hex digits of the SHA-256 of its SubjectPublicKeyInfo; and that, in PEM. */
const char *checkpoints_key_id(const struct checkpoints *c);
const char *checkpoints_public_key(const struct checkpoints *c);

/* The text that is signed; hash: 64 hex digits; at: RFC 3339 with microseconds. */
size_t checkpoint_text(char out[CHECKPOINT_TEXT_MAX], uint64_t seq, const char *hash,
                       const char *at);

#endif
