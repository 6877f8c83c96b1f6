/* A spool: see spool.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "lawful_intercept/spool_int.h"

/* ---- opening -----------------------------------------------------------------------------------
 */
/* Length of the record at o->at, whole on disk; false: there is none. */
static bool record_at(const struct spool_file *o, uint64_t end, uint64_t *number, size_t *sealed)
{
    uint8_t head[RECORD_HEAD];

    if (end - o->at < RECORD_HEAD || !spool_read_all(o->fd, head, sizeof head, o->at)) {
        return false;
    }
    *sealed = (size_t)spool_get_be(head, 4);
    *number = spool_get_be(head + 4, 8);
    return *sealed >= GCM_TAG_BYTES + TIME_BYTES &&
           *sealed <= SPOOL_RECORD_MAX + GCM_TAG_BYTES + TIME_BYTES &&
           end - o->at - RECORD_HEAD >= *sealed;
}

static enum err remove_segment(const struct spool *s, uint64_t first)
{
    char path[PATH_BYTES];

    spool_path_of(s, first, path);
    return unlink(path) == 0 ? E_OK : FAIL(E_IO);
}

/* Walks the segment's records; what follows the last whole one is cut off. A segment without any
 * goes: it was made for a record that is to be put yet, and its name must be free for that. */
static enum err take_segment(struct spool *s, uint64_t first)
{
    struct spool_file o = {.fd = -1};
    struct spool_segment seg = {first, first - 1, 0};
    struct stat st;
    uint64_t number = 0;
    size_t sealed = 0;
    enum err e = spool_open_segment(s, first, O_RDWR, &o);

    if (e == E_PARSE) { /* made, and not even its head written */
        char path[PATH_BYTES];
        spool_path_of(s, first, path);
        return stat(path, &st) == 0 && st.st_size < SEGMENT_HEAD ? remove_segment(s, first) : e;
    }
    TRY(e);
    if (first == 0 || first > SPOOL_NUMBER_MAX) {
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
    s->next = seg.last + 1 > s->next ? seg.last + 1 : s->next;
    if (seg.last < first) {
        TRY(remove_segment(s, first));
    } else if (!spool_add_segment(s, seg)) {
        TRY(FAIL(E_NOMEM));
    }
out:
    spool_close_segment(&o);
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
            first[n++] = spool_get_be(octets, 8);
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

/* Records that are there and have a number past n. */
static uint64_t held_behind(const struct spool *s, uint64_t n)
{
    uint64_t held = 0;

    for (size_t i = 0; i < s->n; i++) {
        const struct spool_segment *seg = &s->v[i];
        if (seg->last >= seg->first && seg->last > n) {
            held += seg->last - (seg->first > n ? seg->first - 1 : n);
        }
    }
    return held;
}

static enum err read_done(struct spool *s)
{
    char path[PATH_BYTES], text[48] = "";
    uint64_t n = 0, next = 0;
    size_t space = 0;
    bool has_next = false;
    struct view v = {0};
    int fd = -1;
    ssize_t got = 0;

    snprintf(path, sizeof path, "%s/done", s->folder);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? E_OK : FAIL(E_IO);
    }
    got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got == 0) {
        return E_OK; /* made, and never written: what is there goes again */
    }
    v = view_from(text, got > 0 ? (size_t)got : 0);
    has_next = view_find(v, ' ', &space);
    if (view_to_u64(has_next ? view_sub(v, 0, space) : v, SPOOL_NUMBER_MAX, &n) != E_OK ||
        (has_next && view_to_u64(view_sub(v, space + 1, v.n), SPOOL_NUMBER_MAX, &next) != E_OK)) {
        return FAIL(E_PARSE);
    }
    s->done = n;
    next = next > n ? next : n + 1;
    s->next = s->next > next ? s->next : next;
    s->lost = s->next - 1 - n - held_behind(s, n);
    return E_OK;
}

/* In its place, which needs no room on a full disk; always as long. */
static enum err write_done(const struct spool *s, bool sync)
{
    char path[PATH_BYTES], text[48];
    size_t n = (size_t)snprintf(text, sizeof text, "%020llu %020llu", (unsigned long long)s->done,
                                (unsigned long long)s->next);
    int fd = -1;
    bool ok = false;

    snprintf(path, sizeof path, "%s/done", s->folder);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return FAIL(E_IO);
    }
    ok = spool_write_all(fd, text, n, 0) && (!sync || fdatasync(fd) == 0);
    close(fd);
    return ok ? E_OK : FAIL(E_IO);
}

/* What goes at once when there is no room is a segment: not all of a small spool. */
static size_t segment_of(uint64_t max_bytes)
{
    uint64_t n = max_bytes == 0 ? SEGMENT_DEFAULT : max_bytes / 16;

    n = n > SEGMENT_MIN ? n : SEGMENT_MIN;
    return (size_t)(n < SEGMENT_DEFAULT ? n : SEGMENT_DEFAULT);
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
    s->segment_bytes = cfg->segment_bytes != 0 ? cfg->segment_bytes : segment_of(cfg->max_bytes);
    s->max_bytes = cfg->max_bytes;
    s->make_room = cfg->make_room;
    s->arg = cfg->arg;
    TRY(view_to_cstr(view_of(cfg->folder), s->folder, sizeof s->folder));
    TRY(view_to_cstr(view_of(cfg->name), s->name, sizeof s->name));
    s->key = secret_alloc(sizeof *s->key);
    if (s->key == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(secret_set(s->key, cfg->key->b, cfg->key->n));
    if (mkdir(s->folder, 0700) == 0) {
        s->dirty.folder = s->dirty.parent = true;
    } else if (errno != EEXIST) {
        TRY(FAIL(E_IO));
    }
    TRY(find_segments(s));
    TRY(read_done(s));
    s->read = s->done;
    spool_drop_delivered(s);
    IGNORE(write_done(s, false), "it is there when the disk is full; else more goes twice");
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
    for (unsigned i = 0; i < s->dirty.n; i++) {
        close(s->dirty.fd[i]);
    }
    spool_close_segment(&s->out);
    spool_close_segment(&s->in);
    mem_free(s->plain);
    secret_release(s->key, sizeof *s->key);
    mem_free(s->v);
    mem_free(s->work);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

void spool_remove(struct spool *s)
{
    char path[PATH_BYTES];

    for (size_t i = 0; i < s->n; i++) {
        spool_path_of(s, s->v[i].first, path);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/done", s->folder);
    unlink(path);
    rmdir(s->folder);
    spool_close(s);
}

/* Room for a record of n octets, sealed and open: thousands of spools are quiet most of the time.
 */
static enum err make_work(struct spool *s, size_t n)
{
    size_t bytes = RECORD_HEAD + n + GCM_TAG_BYTES + WORK_STEP - n % WORK_STEP;
    uint8_t *work = NULL, *plain = NULL;

    if (bytes <= s->work_bytes) {
        return E_OK;
    }
    work = mem_zalloc(bytes);
    plain = mem_zalloc(bytes);
    if (work == NULL || plain == NULL) {
        mem_free(work);
        mem_free(plain);
        return FAIL(E_NOMEM);
    }
    mem_free(s->work);
    mem_free(s->plain);
    s->work = work;
    s->plain = plain;
    s->work_bytes = bytes;
    return E_OK;
}

/* ---- writing -----------------------------------------------------------------------------------
 */
/* The record at s->work, sealed, at the end of the segment that is open for it. E_IO, E_FULL: it is
 * as it was before. */
static enum err append(struct spool *s, size_t bytes)
{
    struct spool_segment *seg = &s->v[s->n - 1];

    if (!spool_write_all(s->out.fd, s->work, bytes, seg->bytes)) {
        enum err e = spool_disk_error();
        IGNORE(ftruncate(s->out.fd, (off_t)seg->bytes) == 0 ? E_OK : E_IO,
               "a torn record is cut at the next opening too");
        return FAIL(e);
    }
    s->out_is_dirty = true;
    seg->bytes += bytes;
    seg->last = s->next;
    s->bytes += bytes;
    return E_OK;
}

static enum err put_once(struct spool *s, struct view plain)
{
    const struct spool_segment *last = s->n > 0 ? &s->v[s->n - 1] : NULL;
    size_t sealed = plain.n + GCM_TAG_BYTES;
    enum err e = E_OK;

    if (last == NULL || s->out.fd < 0 ||
        (last->last >= last->first && last->bytes >= s->segment_bytes)) {
        spool_finish_segment(s);
        TRY(spool_make_segment(s));
    }
    spool_put_be(s->work, sealed, 4);
    spool_put_be(s->work + 4, s->next, 8);
    TRY(spool_seal(s, &s->out.key, s->next, plain, s->work + RECORD_HEAD));
    TRY(append(s, RECORD_HEAD + sealed));
out:
    return e;
}

/* The oldest segment is all with the peer. */
static bool is_spare(const struct spool *s)
{
    return s->n > 1 && (s->v[0].last <= s->confirmed || s->v[0].last <= s->done);
}

/* Octets that the peer never had, to the segment. */
static uint64_t owed(const struct spool *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        n += s->v[i].last > s->confirmed && s->v[i].last > s->done ? s->v[i].bytes : 0;
    }
    return n;
}

/* A full disk: what the peer has had goes, then what somebody else can spare, then our own oldest.
 */
static bool find_room(struct spool *s)
{
    bool found = is_spare(s);

    if (!found && s->make_room != NULL && s->make_room(s->arg, s, owed(s))) {
        return true;
    }
    found = s->n > 1;
    if (found) {
        spool_drop_oldest(s);
        IGNORE(write_done(s, false), "more goes twice");
    }
    return found;
}

static enum err put_locked(struct spool *s, struct view plain)
{
    enum err e = E_OK;

    while (s->max_bytes != 0 && s->n > 1 && s->bytes + plain.n > s->max_bytes) {
        spool_drop_oldest(s);
    }
    e = put_once(s, plain);
    while (e == E_FULL && find_room(s)) {
        e = put_once(s, plain);
    }
    return e;
}

enum err spool_put(struct spool *s, uint64_t at_us, struct view octets, uint64_t *number)
{
    size_t n = TIME_BYTES + octets.n;
    enum err e = E_OK;

    if (octets.n > SPOOL_RECORD_MAX) {
        return FAIL(E_RANGE);
    }
    pthread_mutex_lock(&s->lock);
    e = make_work(s, n);
    if (e != E_OK) {
        pthread_mutex_unlock(&s->lock);
        return e;
    }
    spool_put_be(s->plain, at_us, TIME_BYTES);
    if (octets.n > 0) {
        memcpy(s->plain + TIME_BYTES, octets.p, octets.n);
    }
    e = put_locked(s, view_from(s->plain, n));
    wipe(s->plain, n);
    s->next++;
    if (e == E_OK) {
        *number = s->next - 1;
    } else {
        s->lost++; /* its number is not used again, not after a restart either: the gap shows */
        e = e == E_IO ? FAIL(E_FULL) : e;
        spool_finish_segment(s);
        IGNORE(write_done(s, false), "the number alone is at stake");
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

bool spool_shrink(struct spool *s)
{
    bool can = false;

    pthread_mutex_lock(&s->lock);
    can = s->n > 1;
    if (can) {
        spool_drop_oldest(s);
    }
    pthread_mutex_unlock(&s->lock);
    return can;
}

/* ---- onto the disk -----------------------------------------------------------------------------
 */
void spool_sync_begin(struct spool *s, bool whole, struct spool_dirty *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->dirty;
    s->dirty = (struct spool_dirty){.n = 0};
    if (s->out_is_dirty && !whole) {
        int fd = fcntl(s->out.fd, F_DUPFD_CLOEXEC, 0);
        if (fd >= 0) {
            out->fd[out->n++] = fd;
        } else {
            out->failed = fdatasync(s->out.fd) != 0 || out->failed;
        }
    }
    s->out_is_dirty = false;
    pthread_mutex_unlock(&s->lock);
}

enum err spool_sync_end(struct spool *s, bool whole, struct spool_dirty *d)
{
    bool ok = !d->failed;

    for (unsigned i = 0; i < d->n; i++) {
        ok = (whole || fdatasync(d->fd[i]) == 0) && ok;
        close(d->fd[i]);
    }
    if (!whole) {
        ok = (!d->folder || spool_sync_folder(s->folder, "")) && ok;
        ok = (!d->parent || spool_sync_folder(s->folder, "/..")) && ok;
    }
    d->n = 0;
    return ok ? E_OK : FAIL(E_IO);
}

enum err spool_sync(struct spool *s)
{
    struct spool_dirty d;

    spool_sync_begin(s, false, &d);
    return spool_sync_end(s, false, &d);
}

/* ---- reading -----------------------------------------------------------------------------------
 */
/* The segment with the first record behind s->read, open at that record. E_NOTFOUND. */
static enum err find_record(struct spool *s)
{
    enum err e = E_OK;

    for (size_t i = 0; i < s->n; i++) {
        const struct spool_segment *seg = &s->v[i];
        uint64_t number = 0;
        size_t sealed = 0;
        if (seg->last < seg->first || seg->last <= s->read) {
            continue;
        }
        if (s->in.fd < 0 || s->in.first != seg->first) {
            TRY(spool_open_segment(s, seg->first, O_RDONLY, &s->in));
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
static enum err take_record(struct spool *s, size_t *out_n, uint64_t *number)
{
    uint8_t *sealed = NULL;
    size_t n = 0;
    enum err e = E_OK;

    if (!record_at(&s->in, UINT64_MAX, number, &n)) {
        return FAIL(E_PARSE);
    }
    TRY(make_work(s, n));
    sealed = s->work + RECORD_HEAD;
    s->in.at += RECORD_HEAD;
    s->read = *number;
    if (!spool_read_all(s->in.fd, sealed, n, s->in.at)) {
        TRY(FAIL(E_IO));
    }
    s->in.at += n;
    TRY(spool_unseal(s, &s->in.key, *number, view_from(sealed, n), s->plain));
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
    uint64_t before = 0;
    size_t n = 0;
    enum err e = E_OK;

    pthread_mutex_lock(&s->lock);
    before = s->read;
    e = find_record(s);
    TRY(e == E_OK ? take_record(s, &n, number) : e);
    if (n - TIME_BYTES > dst_bytes) {
        TRY(FAIL(E_RANGE));
    }
    *at_us = spool_get_be(s->plain, TIME_BYTES);
    *out_n = n - TIME_BYTES;
    memcpy(dst, s->plain + TIME_BYTES, *out_n);
out:
    if (e == E_AUTH || e == E_PARSE || e == E_IO) {
        skip_damaged(s, before);
    }
    if (n > 0) {
        wipe(s->plain, n);
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* A reading of its own, so that the one that delivers keeps its place. */
uint64_t spool_time(struct spool *s, uint64_t number)
{
    struct spool_file was;
    uint64_t at_us = 0, read = 0, found = 0;
    size_t n = 0;

    pthread_mutex_lock(&s->lock);
    was = s->in;
    read = s->read;
    s->in = (struct spool_file){.fd = -1};
    s->read = number > 0 ? number - 1 : 0;
    if (find_record(s) == E_OK && take_record(s, &n, &found) == E_OK) {
        at_us = spool_get_be(s->plain, TIME_BYTES);
        wipe(s->plain, n);
    }
    spool_close_segment(&s->in);
    s->in = was;
    s->read = read;
    secret_wipe(&was.key);
    pthread_mutex_unlock(&s->lock);
    return at_us;
}

void spool_rewind(struct spool *s)
{
    pthread_mutex_lock(&s->lock);
    s->read = s->done;
    spool_close_segment(&s->in);
    pthread_mutex_unlock(&s->lock);
}

enum err spool_done(struct spool *s, uint64_t number)
{
    enum err e = E_OK;

    pthread_mutex_lock(&s->lock);
    if (number > s->done && number < s->next) {
        s->done = number;
        e = write_done(s, spool_may_drop(s)); /* on disk before what it stands for goes */
        spool_drop_delivered(s);
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

void spool_confirmed(struct spool *s, uint64_t number)
{
    pthread_mutex_lock(&s->lock);
    s->confirmed = number > s->confirmed ? number : s->confirmed;
    pthread_mutex_unlock(&s->lock);
}

void spool_facts_of(struct spool *s, struct spool_facts *out)
{
    pthread_mutex_lock(&s->lock);
    *out = (struct spool_facts){.next = s->next,
                                .read = s->read,
                                .done = s->done,
                                .bytes = s->bytes,
                                .owed = owed(s),
                                .lost = s->lost,
                                .segments = s->n,
                                .is_spare = is_spare(s)};
    pthread_mutex_unlock(&s->lock);
}
