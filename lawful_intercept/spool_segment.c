/* Files of a spool: octets, sealing, segments. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "lawful_intercept/spool_int.h"

/* ---- octets ------------------------------------------------------------------------------------
 */
void spool_put_be(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    }
}

uint64_t spool_get_be(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

bool spool_write_all(int fd, const void *octets, size_t n, uint64_t at)
{
    const uint8_t *p = octets;

    while (n > 0) {
        ssize_t some = pwrite(fd, p, n, (off_t)at);
        if (some < 0 && errno == EINTR) {
            continue;
        }
        if (some <= 0) {
            return false;
        }
        p += some;
        at += (uint64_t)some;
        n -= (size_t)some;
    }
    return true;
}

bool spool_read_all(int fd, void *octets, size_t n, uint64_t at)
{
    uint8_t *p = octets;

    while (n > 0) {
        ssize_t some = pread(fd, p, n, (off_t)at);
        if (some < 0 && errno == EINTR) {
            continue;
        }
        if (some <= 0) {
            return false;
        }
        p += some;
        at += (uint64_t)some;
        n -= (size_t)some;
    }
    return true;
}

/* E_FULL: older segments would make room. To be asked at once: errno. */
enum err spool_disk_error(void)
{
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? E_FULL : E_IO;
}

void spool_path_of(const struct spool *s, uint64_t first, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/%016llx.seg", s->folder, (unsigned long long)first);
}

/* ---- sealing -----------------------------------------------------------------------------------
 */
static enum err segment_key(const struct spool *s, const uint8_t salt[16], struct secret *out)
{
    struct secret prk = {{0}, 0};
    enum err e = hkdf_extract(view_from(salt, 16), view_from(s->key->b, s->key->n), &prk);

    TRY(e);
    TRY(hkdf_expand(&prk, VIEW("headgate spool v1"), 32, out));
out:
    secret_wipe(&prk);
    return e;
}

static size_t aad_of(const struct spool *s, uint64_t number, uint8_t out[NAME_BYTES + 8])
{
    size_t n = strlen(s->name);

    memcpy(out, s->name, n);
    spool_put_be(out + n, number, 8);
    return n + 8;
}

enum err spool_seal(const struct spool *s, const struct secret *key, uint64_t number,
                    struct view plain, uint8_t *out)
{
    uint8_t nonce[GCM_NONCE_BYTES] = {0}, aad[NAME_BYTES + 8];
    size_t n = aad_of(s, number, aad);

    spool_put_be(nonce + 4, number, 8);
    return gcm_seal(key, nonce, view_from(aad, n), plain, out);
}

enum err spool_unseal(const struct spool *s, const struct secret *key, uint64_t number,
                      struct view sealed, uint8_t *out)
{
    uint8_t nonce[GCM_NONCE_BYTES] = {0}, aad[NAME_BYTES + 8];
    size_t n = aad_of(s, number, aad);

    spool_put_be(nonce + 4, number, 8);
    return gcm_open(key, nonce, view_from(aad, n), sealed, out);
}

/* ---- segments ----------------------------------------------------------------------------------
 */
void spool_close_segment(struct spool_file *o)
{
    if (o->fd >= 0) {
        close(o->fd);
    }
    o->fd = -1;
    secret_wipe(&o->key);
}

enum err spool_open_segment(const struct spool *s, uint64_t first, int flags, struct spool_file *o)
{
    uint8_t head[SEGMENT_HEAD];
    char path[PATH_BYTES];
    enum err e = E_OK;

    spool_path_of(s, first, path);
    spool_close_segment(o);
    o->fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
    if (o->fd < 0) {
        return FAIL(E_IO);
    }
    if (!spool_read_all(o->fd, head, sizeof head, 0) || memcmp(head, "HGSPOOL1", 8) != 0 ||
        spool_get_be(head + 24, 8) != first) {
        TRY(FAIL(E_PARSE));
    }
    TRY(segment_key(s, head + 8, &o->key));
    o->first = first;
    o->at = SEGMENT_HEAD;
out:
    if (e != E_OK) {
        spool_close_segment(o);
    }
    return e;
}

bool spool_add_segment(struct spool *s, struct spool_segment seg)
{
    if (s->n == s->room) {
        size_t room = s->room == 0 ? 16 : 2 * s->room;
        void *v = room <= SEGMENTS_MAX ? mem_resize(s->v, room * sizeof *s->v) : NULL;
        if (v == NULL) {
            return false;
        }
        s->v = v;
        s->room = room;
    }
    s->v[s->n++] = seg;
    s->bytes += seg.bytes;
    return true;
}

bool spool_sync_folder(const char *folder, const char *parent)
{
    char path[PATH_BYTES];
    int fd = -1;
    bool ok = false;

    snprintf(path, sizeof path, "%s%s", folder, parent);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        ok = fsync(fd) == 0;
        close(fd);
    }
    return ok;
}

/* A segment is full: it stays open until it is on disk. */
void spool_finish_segment(struct spool *s)
{
    struct spool_dirty *d = &s->dirty;

    if (s->out.fd >= 0 && s->out_is_dirty) {
        if (d->n == SPOOL_DIRTY_MAX) {
            d->failed = fdatasync(d->fd[--d->n]) != 0 || d->failed;
            close(d->fd[d->n]);
        }
        d->fd[d->n++] = s->out.fd;
        s->out.fd = -1;
        s->out_is_dirty = false;
    }
    spool_close_segment(&s->out);
}

enum err spool_make_segment(struct spool *s)
{
    uint8_t head[SEGMENT_HEAD] = "HGSPOOL1";
    struct spool_segment seg = {s->next, s->next - 1, SEGMENT_HEAD};
    struct spool_file o = {.fd = -1, .first = s->next, .at = SEGMENT_HEAD};
    char path[PATH_BYTES];
    enum err e = crypto_random(head + 8, 16);

    TRY(e);
    TRY(segment_key(s, head + 8, &o.key));
    spool_put_be(head + 24, s->next, 8);
    spool_path_of(s, s->next, path);
    o.fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (o.fd < 0) {
        TRY(FAIL(spool_disk_error()));
    }
    if (!spool_write_all(o.fd, head, sizeof head, 0)) {
        e = spool_disk_error();
    } else if (!spool_add_segment(s, seg)) {
        e = E_FULL; /* as many as there may be */
    }
    if (e != E_OK) {
        unlink(path);
        TRY(FAIL(e));
    }
    s->dirty.folder = true;
    s->out = o;
    o = (struct spool_file){.fd = -1};
out:
    spool_close_segment(&o);
    return e;
}

/* The oldest segment goes; what the peer never had of it is lost, and what it had is settled. */
void spool_drop_oldest(struct spool *s)
{
    uint64_t had = s->confirmed > s->done ? s->confirmed : s->done;
    struct spool_segment seg = s->v[0];
    char path[PATH_BYTES];

    spool_path_of(s, seg.first, path);
    unlink(path);
    if (seg.last > had && seg.last >= seg.first) {
        s->lost += seg.last - (had >= seg.first ? had : seg.first - 1);
    } else if (seg.last >= seg.first && seg.last > s->done) {
        s->done = seg.last;
    }
    if (seg.last > s->read) {
        s->read = seg.last;
    }
    if (s->in.fd >= 0 && s->in.first == seg.first) {
        spool_close_segment(&s->in);
    }
    if (s->out.fd >= 0 && s->out.first == seg.first) {
        spool_close_segment(&s->out);
    }
    s->bytes -= seg.bytes;
    memmove(s->v, s->v + 1, --s->n * sizeof *s->v);
}

/* The newest stays, whatever was delivered: numbers go on behind it. */
bool spool_may_drop(const struct spool *s)
{
    return s->n > 1 && s->v[0].last <= s->done;
}

void spool_drop_delivered(struct spool *s)
{
    while (spool_may_drop(s)) {
        spool_drop_oldest(s);
    }
}
