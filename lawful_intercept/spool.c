/* A spool: see spool.h. */
#include "lawful_intercept/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"

#define NUMBER_MAX ((uint64_t)INT64_MAX) /* no spool comes that far: such a file is not ours */

enum {
    SEGMENT_HEAD = 32,
    RECORD_HEAD = 12,
    TIME_BYTES = 8, /* sealed with the record */
    SEGMENTS_MAX = 65536,
    SEGMENT_DEFAULT = 4 << 20,
    NAME_BYTES = 128,
    PATH_BYTES = 512
};

struct segment {
    uint64_t first, last; /* numbers; last < first: empty */
    uint64_t bytes;
};

struct open_segment { /* a file with its key */
    int fd;           /* -1: none */
    uint64_t first, at;
    struct secret key;
};

struct spool {
    pthread_mutex_t lock;
    char folder[PATH_BYTES - 64], name[NAME_BYTES];
    struct secret *key;
    size_t segment_bytes;
    uint64_t max_bytes;
    struct segment *v; /* oldest first */
    size_t n, room;
    struct open_segment out, in; /* that is written, that is read */
    uint64_t next, done, read;   /* read: number of the last that was read */
    uint64_t bytes, lost, oldest_us;
    uint8_t *work; /* a sealed record */
};

/* ---- octets ------------------------------------------------------------------------------------
 */
static void put_be(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    }
}

static uint64_t get_be(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static bool write_all(int fd, const void *octets, size_t n, uint64_t at)
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

static bool read_all(int fd, void *octets, size_t n, uint64_t at)
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
static enum err disk_error(void)
{
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? E_FULL : E_IO;
}

static void path_of(const struct spool *s, uint64_t first, char out[PATH_BYTES])
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
    put_be(out + n, number, 8);
    return n + 8;
}

static enum err seal(const struct spool *s, const struct secret *key, uint64_t number,
                     struct view plain, uint8_t *out)
{
    uint8_t nonce[GCM_NONCE_BYTES] = {0}, aad[NAME_BYTES + 8];
    size_t n = aad_of(s, number, aad);

    put_be(nonce + 4, number, 8);
    return gcm_seal(key, nonce, view_from(aad, n), plain, out);
}

static enum err unseal(const struct spool *s, const struct secret *key, uint64_t number,
                       struct view sealed, uint8_t *out)
{
    uint8_t nonce[GCM_NONCE_BYTES] = {0}, aad[NAME_BYTES + 8];
    size_t n = aad_of(s, number, aad);

    put_be(nonce + 4, number, 8);
    return gcm_open(key, nonce, view_from(aad, n), sealed, out);
}

/* ---- segments ----------------------------------------------------------------------------------
 */
static void close_segment(struct open_segment *o)
{
    if (o->fd >= 0) {
        close(o->fd);
    }
    o->fd = -1;
    secret_wipe(&o->key);
}

static enum err open_segment(const struct spool *s, uint64_t first, int flags,
                             struct open_segment *o)
{
    uint8_t head[SEGMENT_HEAD];
    char path[PATH_BYTES];
    enum err e = E_OK;

    path_of(s, first, path);
    close_segment(o);
    o->fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
    if (o->fd < 0) {
        return FAIL(E_IO);
    }
    if (!read_all(o->fd, head, sizeof head, 0) || memcmp(head, "HGSPOOL1", 8) != 0 ||
        get_be(head + 24, 8) != first) {
        TRY(FAIL(E_PARSE));
    }
    TRY(segment_key(s, head + 8, &o->key));
    o->first = first;
    o->at = SEGMENT_HEAD;
out:
    if (e != E_OK) {
        close_segment(o);
    }
    return e;
}

static bool add_segment(struct spool *s, struct segment seg)
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

static void sync_folder(const struct spool *s)
{
    int fd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static enum err make_segment(struct spool *s)
{
    uint8_t head[SEGMENT_HEAD] = "HGSPOOL1";
    struct segment seg = {s->next, s->next - 1, SEGMENT_HEAD};
    struct open_segment o = {.fd = -1, .first = s->next, .at = SEGMENT_HEAD};
    char path[PATH_BYTES];
    enum err e = crypto_random(head + 8, 16);

    TRY(e);
    TRY(segment_key(s, head + 8, &o.key));
    put_be(head + 24, s->next, 8);
    path_of(s, s->next, path);
    o.fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (o.fd < 0) {
        TRY(FAIL(disk_error()));
    }
    if (!write_all(o.fd, head, sizeof head, 0)) {
        e = disk_error();
    } else if (!add_segment(s, seg)) {
        e = E_FULL; /* as many as there may be */
    }
    if (e != E_OK) {
        unlink(path);
        TRY(FAIL(e));
    }
    sync_folder(s);
    s->out = o;
    o = (struct open_segment){.fd = -1};
out:
    close_segment(&o);
    return e;
}

/* The oldest segment goes; what was not delivered of it is lost. */
static void drop_oldest(struct spool *s)
{
    struct segment seg = s->v[0];
    char path[PATH_BYTES];

    path_of(s, seg.first, path);
    unlink(path);
    if (seg.last > s->done && seg.last >= seg.first) {
        s->lost += seg.last - (s->done >= seg.first ? s->done : seg.first - 1);
    }
    if (seg.last > s->read) {
        s->read = seg.last;
    }
    if (s->in.fd >= 0 && s->in.first == seg.first) {
        close_segment(&s->in);
    }
    if (s->out.fd >= 0 && s->out.first == seg.first) {
        close_segment(&s->out);
    }
    s->bytes -= seg.bytes;
    memmove(s->v, s->v + 1, --s->n * sizeof *s->v);
}

static void drop_delivered(struct spool *s)
{
    while (s->n > 0 && s->v[0].last <= s->done && s->v[0].last >= s->v[0].first &&
           !(s->out.fd >= 0 && s->out.first == s->v[0].first)) {
        drop_oldest(s);
    }
}

/* ---- opening -----------------------------------------------------------------------------------
 */
/* Length of the record at o->at, whole on disk; false: there is none. */
static bool record_at(const struct open_segment *o, uint64_t end, uint64_t *number, size_t *sealed)
{
    uint8_t head[RECORD_HEAD];

    if (end - o->at < RECORD_HEAD || !read_all(o->fd, head, sizeof head, o->at)) {
        return false;
    }
    *sealed = (size_t)get_be(head, 4);
    *number = get_be(head + 4, 8);
    return *sealed >= GCM_TAG_BYTES + TIME_BYTES &&
           *sealed <= SPOOL_RECORD_MAX + GCM_TAG_BYTES + TIME_BYTES &&
           end - o->at - RECORD_HEAD >= *sealed;
}

static enum err remove_segment(const struct spool *s, uint64_t first)
{
    char path[PATH_BYTES];

    path_of(s, first, path);
    return unlink(path) == 0 ? E_OK : FAIL(E_IO);
}

/* Walks the segment's records; what follows the last whole one is cut off. A segment without any
 * goes: it was made for a record that is to be put yet, and its name must be free for that. */
static enum err take_segment(struct spool *s, uint64_t first)
{
    struct open_segment o = {.fd = -1};
    struct segment seg = {first, first - 1, 0};
    struct stat st;
    uint64_t number = 0;
    size_t sealed = 0;
    enum err e = open_segment(s, first, O_RDWR, &o);

    if (e == E_PARSE) { /* made, and not even its head written */
        char path[PATH_BYTES];
        path_of(s, first, path);
        return stat(path, &st) == 0 && st.st_size < SEGMENT_HEAD ? remove_segment(s, first) : e;
    }
    TRY(e);
    if (first == 0 || first > NUMBER_MAX) {
        TRY(FAIL(E_PARSE));
    }
    if (fstat(o.fd, &st) != 0) {
        TRY(FAIL(E_IO));
    }
    while (record_at(&o, (uint64_t)st.st_size, &number, &sealed) && number == seg.last + 1) {
        seg.last = number;
        o.at += RECORD_HEAD + sealed;
    }
    if (o.at < (uint64_t)st.st_size && ftruncate(o.fd, (off_t)o.at) != 0) {
        TRY(FAIL(E_IO));
    }
    seg.bytes = o.at;
    s->lost += s->n > 0 && first > s->next ? first - s->next : 0;
    s->next = seg.last + 1 > s->next ? seg.last + 1 : s->next;
    if (seg.last < first) {
        TRY(remove_segment(s, first));
    } else if (!add_segment(s, seg)) {
        TRY(FAIL(E_NOMEM));
    }
out:
    close_segment(&o);
    return e;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static enum err find_segments(struct spool *s)
{
    uint64_t *first = mem_zalloc_array(SEGMENTS_MAX, sizeof *first);
    DIR *d = opendir(s->folder);
    struct dirent *entry = NULL;
    size_t n = 0;
    enum err e = E_OK;

    if (first == NULL || d == NULL) {
        TRY(FAIL(first == NULL ? E_NOMEM : E_IO));
    }
    while ((entry = readdir(d)) != NULL && n < SEGMENTS_MAX) {
        uint8_t octets[8];
        if (strlen(entry->d_name) == 20 && strcmp(entry->d_name + 16, ".seg") == 0 &&
            hex_get(view_from(entry->d_name, 16), octets, 8) == E_OK) {
            first[n++] = get_be(octets, 8);
        }
    }
    qsort(first, n, sizeof *first, by_number);
    for (size_t i = 0; i < n; i++) {
        TRY(take_segment(s, first[i]));
    }
out:
    if (d != NULL) {
        closedir(d);
    }
    mem_free(first);
    return e;
}

static enum err read_done(struct spool *s)
{
    char path[PATH_BYTES], text[24] = "";
    uint64_t n = 0;
    int fd = -1;
    ssize_t got = 0;

    snprintf(path, sizeof path, "%s/done", s->folder);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? E_OK : FAIL(E_IO);
    }
    got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0 || view_to_u64(view_from(text, (size_t)got), NUMBER_MAX, &n) != E_OK) {
        return FAIL(E_PARSE);
    }
    s->done = n;
    s->next = s->next > n ? s->next : n + 1;
    return E_OK;
}

static enum err write_done(const struct spool *s)
{
    char path[PATH_BYTES], temp[PATH_BYTES + 8], text[24];
    size_t n = (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)s->done);
    int fd = -1;

    snprintf(path, sizeof path, "%s/done", s->folder);
    snprintf(temp, sizeof temp, "%s.new", path);
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return FAIL(E_IO);
    }
    if (!write_all(fd, text, n, 0) || fdatasync(fd) != 0) {
        close(fd);
        return FAIL(E_IO);
    }
    close(fd);
    return rename(temp, path) == 0 ? E_OK : FAIL(E_IO);
}

enum err spool_open(const struct spool_cfg *cfg, struct spool **out)
{
    struct spool *s = mem_zalloc(sizeof *s);
    enum err e = E_OK;

    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    s->in.fd = s->out.fd = -1;
    s->next = 1;
    pthread_mutex_init(&s->lock, NULL);
    s->segment_bytes = cfg->segment_bytes != 0 ? cfg->segment_bytes : SEGMENT_DEFAULT;
    s->max_bytes = cfg->max_bytes;
    TRY(view_to_cstr(view_of(cfg->folder), s->folder, sizeof s->folder));
    TRY(view_to_cstr(view_of(cfg->name), s->name, sizeof s->name));
    s->key = secret_alloc(sizeof *s->key);
    s->work = mem_zalloc(RECORD_HEAD + SPOOL_RECORD_MAX + TIME_BYTES + GCM_TAG_BYTES);
    if (s->key == NULL || s->work == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(secret_set(s->key, cfg->key->b, cfg->key->n));
    if (mkdir(s->folder, 0700) != 0 && errno != EEXIST) {
        TRY(FAIL(E_IO));
    }
    TRY(find_segments(s));
    TRY(read_done(s));
    s->read = s->done;
    drop_delivered(s);
    *out = s;
    s = NULL;
out:
    spool_close(s);
    return e;
}

void spool_close(struct spool *s)
{
    if (s == NULL) {
        return;
    }
    close_segment(&s->out);
    close_segment(&s->in);
    secret_release(s->key, sizeof *s->key);
    mem_free(s->v);
    mem_free(s->work);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

/* ---- writing -----------------------------------------------------------------------------------
 */
/* The record at s->work, sealed, at the end of the segment that is open for it. E_IO, E_FULL: it is
 * as it was before. */
static enum err append(struct spool *s, size_t bytes)
{
    struct segment *seg = &s->v[s->n - 1];

    if (!write_all(s->out.fd, s->work, bytes, seg->bytes)) {
        enum err e = disk_error();
        IGNORE(ftruncate(s->out.fd, (off_t)seg->bytes) == 0 ? E_OK : E_IO,
               "a torn record is cut at the next opening too");
        return FAIL(e);
    }
    seg->bytes += bytes;
    seg->last = s->next;
    s->bytes += bytes;
    return E_OK;
}

static enum err put_once(struct spool *s, struct view plain)
{
    size_t sealed = plain.n + GCM_TAG_BYTES;
    enum err e = E_OK;

    if (s->out.fd < 0 || s->v[s->n - 1].bytes >= s->segment_bytes) {
        close_segment(&s->out);
        TRY(make_segment(s));
    }
    put_be(s->work, sealed, 4);
    put_be(s->work + 4, s->next, 8);
    TRY(seal(s, &s->out.key, s->next, plain, s->work + RECORD_HEAD));
    TRY(append(s, RECORD_HEAD + sealed));
out:
    return e;
}

static enum err put_locked(struct spool *s, struct view plain)
{
    enum err e = E_OK;

    while (s->max_bytes != 0 && s->n > 1 && s->bytes + plain.n > s->max_bytes) {
        drop_oldest(s);
    }
    e = put_once(s, plain);
    while (e == E_FULL && s->n > 1) { /* a full disk: the oldest makes room */
        drop_oldest(s);
        e = put_once(s, plain);
    }
    return e;
}

enum err spool_put(struct spool *s, uint64_t at_us, struct view octets, uint64_t *number)
{
    uint8_t *plain = NULL;
    enum err e = E_OK;

    if (octets.n > SPOOL_RECORD_MAX) {
        return FAIL(E_RANGE);
    }
    plain = mem_zalloc(TIME_BYTES + octets.n);
    if (plain == NULL) {
        return FAIL(E_NOMEM);
    }
    put_be(plain, at_us, TIME_BYTES);
    if (octets.n > 0) {
        memcpy(plain + TIME_BYTES, octets.p, octets.n);
    }
    pthread_mutex_lock(&s->lock);
    e = put_locked(s, view_from(plain, TIME_BYTES + octets.n));
    if (e == E_OK) {
        *number = s->next;
        s->oldest_us = s->oldest_us != 0 && s->done + 1 < s->next ? s->oldest_us : at_us;
    } else {
        s->lost++; /* its number is not used again: the gap shows */
        e = e == E_IO ? FAIL(E_FULL) : e;
        close_segment(&s->out);
    }
    s->next++;
    pthread_mutex_unlock(&s->lock);
    wipe(plain, TIME_BYTES + octets.n);
    mem_free(plain);
    return e;
}

enum err spool_sync(struct spool *s)
{
    enum err e = E_OK;

    pthread_mutex_lock(&s->lock);
    if (s->out.fd >= 0 && fdatasync(s->out.fd) != 0) {
        e = FAIL(E_IO);
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* ---- reading -----------------------------------------------------------------------------------
 */
/* The segment with the first record behind s->read, open at that record. E_NOTFOUND. */
static enum err find_record(struct spool *s)
{
    enum err e = E_OK;

    for (size_t i = 0; i < s->n; i++) {
        const struct segment *seg = &s->v[i];
        uint64_t number = 0;
        size_t sealed = 0;
        if (seg->last < seg->first || seg->last <= s->read) {
            continue;
        }
        if (s->in.fd < 0 || s->in.first != seg->first) {
            TRY(open_segment(s, seg->first, O_RDONLY, &s->in));
        }
        while (record_at(&s->in, seg->bytes, &number, &sealed) && number <= s->read) {
            s->in.at += RECORD_HEAD + sealed;
        }
        return E_OK;
    }
    e = E_NOTFOUND;
out:
    return e;
}

/* The record there; past it afterwards, whatever it is. */
static enum err take_record(struct spool *s, uint8_t *plain, size_t *out_n, uint64_t *number)
{
    uint8_t *sealed = s->work + RECORD_HEAD;
    size_t n = 0;
    enum err e = E_OK;

    if (!record_at(&s->in, UINT64_MAX, number, &n)) {
        return FAIL(E_PARSE);
    }
    s->in.at += RECORD_HEAD;
    s->read = *number;
    if (!read_all(s->in.fd, sealed, n, s->in.at)) {
        TRY(FAIL(E_IO));
    }
    s->in.at += n;
    TRY(unseal(s, &s->in.key, *number, view_from(sealed, n), plain));
    *out_n = n - GCM_TAG_BYTES;
out:
    return e;
}

/* What cannot be read: counted, and the rest of its segment with it when its length is not known.
 */
static void skip_damaged(struct spool *s, uint64_t before)
{
    uint64_t to = s->read;

    for (size_t i = 0; to == before && i < s->n; i++) {
        if (s->v[i].last > before && s->v[i].last >= s->v[i].first) {
            to = s->v[i].last;
        }
    }
    s->lost += to > before ? to - before : 0;
    s->read = to;
}

enum err spool_next(struct spool *s, void *dst, size_t dst_bytes, size_t *out_n, uint64_t *number,
                    uint64_t *at_us)
{
    uint8_t *plain = mem_zalloc(SPOOL_RECORD_MAX + TIME_BYTES);
    uint64_t before = 0;
    size_t n = 0;
    enum err e = E_OK;

    if (plain == NULL) {
        return FAIL(E_NOMEM);
    }
    pthread_mutex_lock(&s->lock);
    before = s->read;
    e = find_record(s);
    TRY(e == E_OK ? take_record(s, plain, &n, number) : e);
    if (n - TIME_BYTES > dst_bytes) {
        TRY(FAIL(E_RANGE));
    }
    *at_us = get_be(plain, TIME_BYTES);
    *out_n = n - TIME_BYTES;
    memcpy(dst, plain + TIME_BYTES, *out_n);
    if (*number == s->done + 1) {
        s->oldest_us = *at_us;
    }
out:
    if (e == E_AUTH || e == E_PARSE || e == E_IO) {
        skip_damaged(s, before);
    }
    pthread_mutex_unlock(&s->lock);
    wipe(plain, n);
    mem_free(plain);
    return e;
}

void spool_rewind(struct spool *s)
{
    pthread_mutex_lock(&s->lock);
    s->read = s->done;
    close_segment(&s->in);
    pthread_mutex_unlock(&s->lock);
}

enum err spool_done(struct spool *s, uint64_t number)
{
    enum err e = E_OK;

    pthread_mutex_lock(&s->lock);
    if (number > s->done && number < s->next) {
        s->done = number;
        s->oldest_us = 0;
        e = write_done(s);
        drop_delivered(s);
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

void spool_facts_of(struct spool *s, struct spool_facts *out)
{
    pthread_mutex_lock(&s->lock);
    *out = (struct spool_facts){s->next, s->done, s->bytes, s->lost, s->oldest_us};
    pthread_mutex_unlock(&s->lock);
}
