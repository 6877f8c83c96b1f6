/* bti/keyfile.h - files with keys in them, and the lock beside them.
 *
 * File       "HGBTI\1\0\0" | kind(1) | log2_n(1) | salt(16) | nonce(12) | body | tail.
 * log2_n 0: the body stands as it is, tail = SHA-256 over all before it (against accidents, not
 * against people). Else the body is AES-256-GCM under scrypt(passphrase, salt), AAD = the octets
 * before it, tail = the tag. Mode 0600; replaced by temporary file, fsync, rename.
 * Body       fields: tag(1) | length(2) | value; tags strictly ascend.
 * Lock       FILE.lock: byte 0 guards the store's counter, bytes 1..4 the session slots, byte 5 an
 * enrolment.
 * Errors     E_NOTFOUND; E_DENIED: mode or kind of file; E_PARSE: not such a file, or damaged;
 * E_AUTH: wrong passphrase (or altered); E_STATE: a passphrase is needed; E_IO.
 * Threads    one. */
#ifndef BTI_KEYFILE_H
#define BTI_KEYFILE_H

#include "base/crypto.h"

#define KEYFILE_BODY_MAX 16384
#define KEYFILE_MAX      (KEYFILE_BODY_MAX + 128)
#define KEYFILE_SALT     16

enum keyfile_kind { KEYFILE_STORE = 1, KEYFILE_PENDING = 2, KEYFILE_SESSION = 3 };

struct passphrase { /* zero value: none */
    char text[256];
    size_t n;
    /* The key that was made last, so that scrypt runs once for a salt. */
    unsigned log2_n;
    uint8_t salt[KEYFILE_SALT];
    struct secret key;
};
/* First line of the file (mode 0600 demanded). E_RANGE: empty or too long. */
MUST_CHECK enum err passphrase_load(const char *path, struct passphrase *out);

/* body: at least KEYFILE_BODY_MAX octets, the caller's to wipe. */
MUST_CHECK enum err keyfile_read(const char *path, enum keyfile_kind kind, struct passphrase *p,
                                 uint8_t *body, size_t *out_n);
MUST_CHECK enum err keyfile_write(const char *path, enum keyfile_kind kind, struct passphrase *p,
                                  struct view body);
/* The same without a file. out: KEYFILE_MAX octets. */
MUST_CHECK enum err keyfile_seal(enum keyfile_kind kind, struct passphrase *p, struct view body,
                                 uint8_t *out, size_t *out_n);
MUST_CHECK enum err keyfile_open(enum keyfile_kind kind, struct passphrase *p, struct view file,
                                 uint8_t *body, size_t *out_n);

/* Fields. The first failure of putting sticks. */
struct field_out {
    uint8_t *b;
    size_t n, max;
    bool full;
};
void field_put(struct field_out *w, uint8_t tag, const void *p, size_t n);
void field_put_u64(struct field_out *w, uint8_t tag, uint64_t v);
/* E_PARSE: the next field is not `tag` or not min..max octets. */
MUST_CHECK enum err field_get(struct view *v, uint8_t tag, size_t min, size_t max,
                              struct view *out);
MUST_CHECK enum err field_get_u64(struct view *v, uint8_t tag, uint64_t *out);
MUST_CHECK enum err field_get_secret(struct view *v, uint8_t tag, size_t n, struct secret *out);

/* Opens or makes path.lock and locks one byte of it. wait false: E_EXISTS when another process has
 * it. Closing *out_fd ends the lock. */
MUST_CHECK enum err keyfile_lock(const char *path, unsigned byte, bool wait, int *out_fd);

#endif
