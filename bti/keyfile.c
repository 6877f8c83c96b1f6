/* Files with keys in them. */
#include "bti/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/proc.h"

enum { MAGIC = 8, HEAD = MAGIC + 2 + KEYFILE_SALT + GCM_NONCE_BYTES, COST = 15, COST_MAX = 17 };

static const uint8_t magic[MAGIC] = {'H', 'G', 'B', 'T', 'I', 1, 0, 0};

/* ---- passphrase --------------------------------------------------------------------------------
 */
enum err passphrase_load(const char *path, struct passphrase *out)
{
    char b[sizeof out->text + 1];
    size_t n = 0;
    enum err e = E_OK;

    TRY(secret_file_read(path, false, b, sizeof b, &n));
    for (size_t i = 0; i < n; i++) {
        if (b[i] == '\n' || b[i] == '\r') {
            n = i;
        }
    }
    if (n == 0 || n > sizeof out->text) {
        TRY(FAIL(E_RANGE));
    }
    memset(out, 0, sizeof *out);
    memcpy(out->text, b, n);
    out->n = n;
out:
    wipe(b, sizeof b);
    return e;
}

static enum err key_for(struct passphrase *p, const uint8_t *salt, unsigned log2_n)
{
    enum err e = E_OK;

    if (p->key.n != 0 && p->log2_n == log2_n && memcmp(p->salt, salt, KEYFILE_SALT) == 0) {
        return E_OK;
    }
    TRY(crypto_passphrase_key(view_from(p->text, p->n), view_from(salt, KEYFILE_SALT), log2_n, 32,
                              &p->key));
    p->log2_n = log2_n;
    memcpy(p->salt, salt, KEYFILE_SALT);
out:
    return e;
}

/* ---- the container -----------------------------------------------------------------------------
 */
static enum err head_make(enum keyfile_kind kind, struct passphrase *p, uint8_t head[HEAD])
{
    uint8_t *salt = head + MAGIC + 2;
    enum err e = E_OK;

    memset(head, 0, HEAD);
    memcpy(head, magic, MAGIC);
    head[MAGIC] = (uint8_t)kind;
    if (p->n == 0) {
        return E_OK;
    }
    if (p->key.n == 0) {
        TRY(crypto_random(salt, KEYFILE_SALT));
        TRY(key_for(p, salt, COST));
    }
    head[MAGIC + 1] = (uint8_t)p->log2_n;
    memcpy(salt, p->salt, KEYFILE_SALT);
    TRY(crypto_random(salt + KEYFILE_SALT, GCM_NONCE_BYTES));
out:
    return e;
}

enum err keyfile_seal(enum keyfile_kind kind, struct passphrase *p, struct view body, uint8_t *out,
                      size_t *out_n)
{
    enum err e = E_OK;

    if (body.n > KEYFILE_BODY_MAX) {
        return FAIL(E_RANGE);
    }
    TRY(head_make(kind, p, out));
    if (p->n == 0) {
        memcpy(out + HEAD, body.p, body.n);
        TRY(sha256(view_from(out, HEAD + body.n), out + HEAD + body.n));
        *out_n = HEAD + body.n + SHA256_BYTES;
    } else {
        TRY(gcm_seal(&p->key, out + MAGIC + 2 + KEYFILE_SALT, view_from(out, HEAD), body,
                     out + HEAD));
        *out_n = HEAD + body.n + GCM_TAG_BYTES;
    }
out:
    return e;
}

static enum err open_plain(struct view file, uint8_t *body, size_t *out_n)
{
    uint8_t sum[SHA256_BYTES];
    size_t n = file.n - SHA256_BYTES;
    enum err e = sha256(view_sub(file, 0, n), sum);

    if (e == E_OK && !bytes_eq(sum, file.p + n, SHA256_BYTES)) {
        e = FAIL(E_PARSE);
    }
    if (e == E_OK) {
        memcpy(body, file.p + HEAD, n - HEAD);
        *out_n = n - HEAD;
    }
    return e;
}

static enum err open_sealed(struct passphrase *p, struct view file, uint8_t *body, size_t *out_n)
{
    const uint8_t *head = (const uint8_t *)file.p;
    const uint8_t *salt = head + MAGIC + 2;
    unsigned cost = head[MAGIC + 1];
    enum err e = E_OK;

    if (cost > COST_MAX || cost < 10) { /* a hostile file must not cost gigabytes */
        return FAIL(E_PARSE);
    }
    if (p->n == 0) {
        return FAIL(E_STATE);
    }
    TRY(key_for(p, salt, cost));
    TRY(gcm_open(&p->key, salt + KEYFILE_SALT, view_sub(file, 0, HEAD),
                 view_sub(file, HEAD, file.n), body));
    *out_n = file.n - HEAD - GCM_TAG_BYTES;
out:
    return e;
}

enum err keyfile_open(enum keyfile_kind kind, struct passphrase *p, struct view file, uint8_t *body,
                      size_t *out_n)
{
    bool sealed = false;

    if (file.n < HEAD || file.n > KEYFILE_MAX || memcmp(file.p, magic, MAGIC) != 0 ||
        (uint8_t)file.p[MAGIC] != (uint8_t)kind) {
        return FAIL(E_PARSE);
    }
    sealed = file.p[MAGIC + 1] != 0;
    if (file.n < HEAD + (size_t)(sealed ? GCM_TAG_BYTES : SHA256_BYTES) ||
        file.n > HEAD + KEYFILE_BODY_MAX + (size_t)(sealed ? GCM_TAG_BYTES : SHA256_BYTES)) {
        return FAIL(E_PARSE);
    }
    if (!sealed && p->n != 0) {
        /* Somebody expects a sealed file: a plain one was put in its place. */
        return FAIL(E_AUTH);
    }
    return sealed ? open_sealed(p, file, body, out_n) : open_plain(file, body, out_n);
}

enum err keyfile_read(const char *path, enum keyfile_kind kind, struct passphrase *p, uint8_t *body,
                      size_t *out_n)
{
    uint8_t *file = secret_alloc(KEYFILE_MAX);
    size_t n = 0;
    enum err e = file != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    e = secret_file_read(path, false, file, KEYFILE_MAX, &n);
    TRY(e == E_RANGE ? FAIL(E_PARSE) : e);
    TRY(keyfile_open(kind, p, view_from(file, n), body, out_n));
out:
    secret_release(file, KEYFILE_MAX);
    return e;
}

static enum err sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int fd = -1;
    enum err e = E_OK;

    if (slash == NULL) {
        memcpy(folder, ".", 2);
    } else {
        TRY(view_to_cstr(view_from(path, (size_t)(slash - path) + 1), folder, sizeof folder));
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    e = fd >= 0 && fsync(fd) == 0 ? E_OK : FAIL(E_IO);
    if (fd >= 0) {
        close(fd);
    }
out:
    return e;
}

enum err keyfile_write(const char *path, enum keyfile_kind kind, struct passphrase *p,
                       struct view body)
{
    uint8_t *file = secret_alloc(KEYFILE_MAX);
    size_t n = 0;
    enum err e = file != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(keyfile_seal(kind, p, body, file, &n));
    TRY(proc_write_file(path, 0600, file, n));
    IGNORE(sync_folder(path), "the file is whole either way; some file systems cannot do it");
out:
    secret_release(file, KEYFILE_MAX);
    return e;
}

/* ---- fields ------------------------------------------------------------------------------------
 */
void field_put(struct field_out *w, uint8_t tag, const void *p, size_t n)
{
    if (w->full || n > UINT16_MAX || w->max - w->n < n + 3) {
        w->full = true;
        return;
    }
    w->b[w->n++] = tag;
    w->b[w->n++] = (uint8_t)(n >> 8);
    w->b[w->n++] = (uint8_t)n;
    if (n > 0) {
        memcpy(w->b + w->n, p, n);
    }
    w->n += n;
}

void field_put_u64(struct field_out *w, uint8_t tag, uint64_t v)
{
    uint8_t b[8];

    for (size_t i = 0; i < sizeof b; i++) {
        b[i] = (uint8_t)(v >> (56 - 8 * i));
    }
    field_put(w, tag, b, sizeof b);
}

enum err field_get(struct view *v, uint8_t tag, size_t min, size_t max, struct view *out)
{
    const uint8_t *p = (const uint8_t *)v->p;
    size_t n = 0;

    if (v->n < 3 || p[0] != tag) {
        return FAIL(E_PARSE);
    }
    n = (size_t)p[1] << 8 | p[2];
    if (n > v->n - 3 || n < min || n > max) {
        return FAIL(E_PARSE);
    }
    *out = view_sub(*v, 3, n);
    *v = view_sub(*v, 3 + n, v->n);
    return E_OK;
}

enum err field_get_u64(struct view *v, uint8_t tag, uint64_t *out)
{
    struct view f;
    uint64_t n = 0;
    enum err e = field_get(v, tag, 8, 8, &f);

    if (e == E_OK) {
        for (size_t i = 0; i < 8; i++) {
            n = n << 8 | (uint8_t)f.p[i];
        }
        *out = n;
    }
    return e;
}

enum err field_get_secret(struct view *v, uint8_t tag, size_t n, struct secret *out)
{
    struct view f;
    enum err e = field_get(v, tag, n, n, &f);

    return e == E_OK ? secret_set(out, f.p, f.n) : e;
}

/* ---- lock --------------------------------------------------------------------------------------
 */
enum err keyfile_lock(const char *path, unsigned byte, bool wait, int *out_fd)
{
    char name[4096];
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    int fd = -1, got = -1;

    if ((size_t)snprintf(name, sizeof name, "%s.lock", path) >= sizeof name) {
        return FAIL(E_RANGE);
    }
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return FAIL(errno == EACCES || errno == ELOOP ? E_DENIED : E_IO);
    }
    do { /* of the open file, not of the process: as flock(2), for single bytes */
        got = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
    } while (got != 0 && errno == EINTR);
    if (got != 0) {
        bool taken = errno == EAGAIN || errno == EACCES;
        close(fd);
        return FAIL(taken ? E_EXISTS : E_IO);
    }
    *out_fd = fd;
    return E_OK;
}
