/* The writer's side of the tap. */
#include "lawful_intercept/tap.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "lawful_intercept/tap_file.h"

struct tap_ring {
    struct tap_ring_head *head;
    char *octets; /* twice ring_bytes */
    size_t bytes;
    uint64_t at, number; /* what the head has, without asking it */
    uint64_t marked;     /* parts of the ring that were begun so far */
};

struct tap {
    unsigned n;
    size_t ring_bytes;
    char path[256];
    dev_t device;
    ino_t inode;
    struct tap_ring ring[TAP_RINGS_MAX];
};

/* ---- writing -----------------------------------------------------------------------------------
 */
/* What of the texts fits a record: all, or the last one cut. */
static size_t fit(const struct tap_record *record, struct tap_wire *w)
{
    size_t left = TAP_RECORD_MAX - sizeof *w - TAP_ALIGN, n = 0;

    for (unsigned i = 0; i < TAP_TEXTS_MAX; i++) {
        size_t take = record->text[i].n < left ? record->text[i].n : left;
        w->is_cut = w->is_cut || take < record->text[i].n;
        w->text_n[i] = (uint32_t)take;
        left -= take;
        n += take;
    }
    return n;
}

static void mark(struct tap_ring *r)
{
    uint64_t part = r->at / (r->bytes / TAP_MARKS);

    if (part + 1 > r->marked) {
        r->marked = part + 1;
        atomic_store_explicit(&r->head->mark[part % TAP_MARKS], r->at, memory_order_relaxed);
    }
}

void tap_write(struct tap_ring *r, const struct tap_record *record)
{
    struct tap_wire w = {.kind = (uint16_t)record->kind,
                         .status = record->status,
                         .at_us = record->at_us,
                         .line = record->line,
                         .trunk = record->trunk,
                         .party = (uint8_t)record->party,
                         .is_proven = record->is_proven,
                         .is_emergency = record->is_emergency,
                         .local = record->local,
                         .remote = record->remote};
    size_t texts = 0, bytes = 0;
    char *to = NULL;

    if (r == NULL) {
        return;
    }
    texts = fit(record, &w);
    bytes = (sizeof w + texts + TAP_ALIGN - 1) / TAP_ALIGN * TAP_ALIGN;
    w.bytes = (uint32_t)bytes;
    w.number = ++r->number;
    atomic_store_explicit(&r->head->begun, r->at + bytes, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* begun is out before any octet is */
    to = r->octets + (r->at & (r->bytes - 1));
    memcpy(to, &w, sizeof w);
    to += sizeof w;
    for (unsigned i = 0; i < TAP_TEXTS_MAX; i++) {
        if (w.text_n[i] > 0) {
            memcpy(to, record->text[i].p, w.text_n[i]);
            to += w.text_n[i];
        }
    }
    mark(r);
    r->at += bytes;
    atomic_store_explicit(&r->head->done, r->at, memory_order_release);
}

/* ---- the file ----------------------------------------------------------------------------------
 */
static size_t place_of(const struct tap *t, unsigned ring)
{
    return TAP_PAGE + ring * (TAP_PAGE + t->ring_bytes);
}

/* The octets of a ring, twice in a row. */
static char *map_twice(int fd, size_t offset, size_t bytes, int protection)
{
    char *p = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }
    for (unsigned half = 0; half < 2; half++) {
        if (mmap(p + half * bytes, bytes, protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
                 (off_t)offset) == MAP_FAILED) {
            munmap(p, 2 * bytes);
            return NULL;
        }
    }
    IGNORE(madvise(p, 2 * bytes, MADV_DONTDUMP) == 0 ? E_OK : E_IO,
           "the process is undumpable besides");
    return p;
}

static enum err map_ring(struct tap *t, int fd, unsigned i)
{
    struct tap_ring *r = &t->ring[i];
    void *head =
        mmap(NULL, TAP_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)place_of(t, i));

    if (head == MAP_FAILED) {
        return FAIL(E_NOMEM);
    }
    r->head = head;
    r->bytes = t->ring_bytes;
    r->octets = map_twice(fd, place_of(t, i) + TAP_PAGE, t->ring_bytes, PROT_READ | PROT_WRITE);
    return r->octets != NULL ? E_OK : FAIL(E_NOMEM);
}

static enum err write_head(const struct tap *t, int fd)
{
    struct tap_file_head h = {
        .magic = TAP_MAGIC, .version = TAP_VERSION, .rings = t->n, .ring_bytes = t->ring_bytes};
    enum err e = crypto_random(h.start, sizeof h.start);

    TRY(e);
    if (pwrite(fd, &h, sizeof h, 0) != (ssize_t)sizeof h) {
        return FAIL(E_IO);
    }
out:
    return e;
}

static enum err give_to_group(int fd, const char *group)
{
    char buf[4096];
    struct group g, *found = NULL;

    if (group == NULL || group[0] == 0) {
        return E_OK;
    }
    if (getgrnam_r(group, &g, buf, sizeof buf, &found) != 0 || found == NULL) {
        return FAIL(E_NOTFOUND);
    }
    return fchown(fd, (uid_t)-1, found->gr_gid) == 0 ? E_OK : FAIL(E_IO);
}

static void unmap(struct tap *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        if (t->ring[i].octets != NULL) {
            munmap(t->ring[i].octets, 2 * t->ring_bytes);
        }
        if (t->ring[i].head != NULL) {
            munmap(t->ring[i].head, TAP_PAGE);
        }
    }
}

static enum err make_file(struct tap *t, const char *temp, const char *group, int *out_fd)
{
    size_t bytes = place_of(t, t->n);
    struct stat st;
    enum err e = E_OK;
    int fd = -1;

    unlink(temp);
    fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return FAIL(E_IO);
    }
    *out_fd = fd;
    TRY(give_to_group(fd, group));
    /* All of it now: a full disk must not be found out by a signal in the middle of a call. */
    if (fchmod(fd, 0640) != 0 || posix_fallocate(fd, 0, (off_t)bytes) != 0 || fstat(fd, &st) != 0) {
        return FAIL(E_IO);
    }
    t->device = st.st_dev;
    t->inode = st.st_ino;
    TRY(write_head(t, fd));
    for (unsigned i = 0; i < t->n; i++) {
        TRY(map_ring(t, fd, i));
    }
out:
    return e;
}

enum err tap_open(const char *path, const char *group, unsigned rings, size_t ring_bytes,
                  struct tap **out)
{
    char temp[sizeof((struct tap *)0)->path + 16];
    struct tap *t = NULL;
    enum err e = E_OK;
    int fd = -1;

    if (rings == 0 || rings > TAP_RINGS_MAX || ring_bytes < TAP_RING_MIN ||
        (ring_bytes & (ring_bytes - 1)) != 0 || strlen(path) >= sizeof t->path) {
        return FAIL(E_RANGE);
    }
    t = mem_zalloc(sizeof *t);
    if (t == NULL) {
        return FAIL(E_NOMEM);
    }
    t->n = rings;
    t->ring_bytes = ring_bytes;
    snprintf(t->path, sizeof t->path, "%s", path);
    snprintf(temp, sizeof temp, "%s.new", path);
    TRY(make_file(t, temp, group, &fd));
    if (rename(temp, path) != 0) {
        TRY(FAIL(E_IO));
    }
    *out = t;
    t = NULL;
out:
    if (fd >= 0) {
        close(fd);
    }
    if (t != NULL) {
        unmap(t);
        unlink(temp);
        mem_free(t);
    }
    return e;
}

void tap_close(struct tap *t)
{
    struct stat st;

    if (t == NULL) {
        return;
    }
    unmap(t);
    if (lstat(t->path, &st) == 0 && st.st_dev == t->device && st.st_ino == t->inode) {
        unlink(t->path);
    }
    mem_free(t);
}

struct tap_ring *tap_ring_of(struct tap *t, unsigned i)
{
    return t != NULL && i < t->n ? &t->ring[i] : NULL;
}
