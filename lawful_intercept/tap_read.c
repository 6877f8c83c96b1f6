/* The reader's side of the tap. */
#include "lawful_intercept/tap_read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/laes.h"
#include "base/mem.h"
#include "lawful_intercept/tap_file.h"

struct ring {
    struct tap_ring_head *head;
    const char *octets; /* twice ring_bytes */
    uint64_t at, number;
    bool is_bad;
};

struct tap_reader {
    struct tap_file_head head;
    char path[256];
    dev_t device;
    ino_t inode;
    struct ring ring[TAP_RINGS_MAX];
    char record[TAP_RECORD_MAX + TAP_ALIGN]; /* of the last tap_next() */
};

static size_t place_of(const struct tap_reader *t, unsigned ring)
{
    return TAP_PAGE + ring * (TAP_PAGE + (size_t)t->head.ring_bytes);
}

static enum err map_ring(struct tap_reader *t, int fd, unsigned i)
{
    struct ring *r = &t->ring[i];
    size_t bytes = (size_t)t->head.ring_bytes;
    void *head = mmap(NULL, TAP_PAGE, PROT_READ, MAP_SHARED, fd, (off_t)place_of(t, i));
    char *p = NULL;

    if (head == MAP_FAILED) {
        return FAIL(E_NOMEM);
    }
    r->head = head;
    p = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        return FAIL(E_NOMEM);
    }
    r->octets = p;
    for (unsigned half = 0; half < 2; half++) {
        if (mmap(p + half * bytes, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
                 (off_t)(place_of(t, i) + TAP_PAGE)) == MAP_FAILED) {
            return FAIL(E_NOMEM);
        }
    }
    IGNORE(madvise(p, 2 * bytes, MADV_DONTDUMP) == 0 ? E_OK : E_IO,
           "the process is undumpable besides");
    return E_OK;
}

static enum err read_head(struct tap_reader *t, int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return FAIL(E_IO);
    }
    if (pread(fd, &t->head, sizeof t->head, 0) != (ssize_t)sizeof t->head ||
        t->head.magic != TAP_MAGIC || t->head.version != TAP_VERSION || t->head.rings == 0 ||
        t->head.rings > TAP_RINGS_MAX || t->head.ring_bytes < TAP_RING_MIN ||
        t->head.ring_bytes > (uint64_t)1 << 32 ||
        (t->head.ring_bytes & (t->head.ring_bytes - 1)) != 0 || st.st_size < 0 ||
        (size_t)st.st_size < place_of(t, t->head.rings)) {
        return FAIL(E_PARSE);
    }
    t->device = st.st_dev;
    t->inode = st.st_ino;
    return E_OK;
}

/* The oldest record that is still whole, or what comes next. */
static uint64_t oldest(const struct tap_reader *t, const struct ring *r)
{
    uint64_t best = atomic_load_explicit(&r->head->done, memory_order_acquire);
    uint64_t begun = atomic_load_explicit(&r->head->begun, memory_order_relaxed);
    uint64_t floor = begun > t->head.ring_bytes ? begun - t->head.ring_bytes : 0;

    if (floor == 0) {
        return 0;
    }
    for (unsigned i = 0; i < TAP_MARKS; i++) {
        uint64_t at = atomic_load_explicit(&r->head->mark[i], memory_order_relaxed);
        if (at >= floor && at < best && at % TAP_ALIGN == 0) {
            best = at;
        }
    }
    return best;
}

enum err tap_attach(const char *path, struct tap_reader **out)
{
    struct tap_reader *t = mem_zalloc(sizeof *t);
    enum err e = E_OK;
    int fd = -1;

    if (t == NULL) {
        return FAIL(E_NOMEM);
    }
    TRY(view_to_cstr(view_of(path), t->path, sizeof t->path));
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        TRY(FAIL(errno == ENOENT ? E_NOTFOUND : E_IO));
    }
    TRY(read_head(t, fd));
    for (unsigned i = 0; i < t->head.rings; i++) {
        TRY(map_ring(t, fd, i));
        t->ring[i].at = oldest(t, &t->ring[i]);
    }
    *out = t;
    t = NULL;
out:
    if (fd >= 0) {
        close(fd);
    }
    tap_detach(t);
    return e;
}

void tap_detach(struct tap_reader *t)
{
    for (unsigned i = 0; t != NULL && i < t->head.rings && i < TAP_RINGS_MAX; i++) {
        if (t->ring[i].octets != NULL) {
            munmap((void *)(uintptr_t)t->ring[i].octets, 2 * (size_t)t->head.ring_bytes);
        }
        if (t->ring[i].head != NULL) {
            munmap(t->ring[i].head, TAP_PAGE);
        }
    }
    mem_free(t);
}

unsigned tap_rings(const struct tap_reader *t)
{
    return t->head.rings;
}

bool tap_resume(struct tap_reader *t, const struct tap_position *p)
{
    if (memcmp(p->start, t->head.start, sizeof p->start) != 0) {
        return false;
    }
    for (unsigned i = 0; i < t->head.rings; i++) {
        struct ring *r = &t->ring[i];
        uint64_t done = atomic_load_explicit(&r->head->done, memory_order_acquire);
        if (p->at[i] <= done && p->at[i] % TAP_ALIGN == 0) {
            r->at = p->at[i];
            r->number = p->number[i];
        }
    }
    return true;
}

void tap_position_of(const struct tap_reader *t, struct tap_position *out)
{
    *out = (struct tap_position){{0}, {0}, {0}};
    memcpy(out->start, t->head.start, sizeof out->start);
    for (unsigned i = 0; i < t->head.rings; i++) {
        out->at[i] = t->ring[i].at;
        out->number[i] = t->ring[i].number;
    }
}

bool tap_is_replaced(const struct tap_reader *t)
{
    struct stat st;

    return stat(t->path, &st) == 0 && (st.st_ino != t->inode || st.st_dev != t->device);
}

/* ---- records -----------------------------------------------------------------------------------
 */
/* Copies n octets at the reading position; false: they were overwritten meanwhile. */
static bool copy_out(const struct tap_reader *t, const struct ring *r, void *to, size_t n)
{
    memcpy(to, r->octets + (r->at & (t->head.ring_bytes - 1)), n);
    atomic_thread_fence(memory_order_acquire); /* the octets were read before begun is */
    return atomic_load_explicit(&r->head->begun, memory_order_relaxed) - r->at <=
           t->head.ring_bytes;
}

static bool is_sound(const struct tap_wire *w)
{
    uint64_t n = sizeof *w;

    for (unsigned i = 0; i < TAP_TEXTS_MAX; i++) {
        n += w->text_n[i];
    }
    return w->bytes % TAP_ALIGN == 0 && w->bytes <= TAP_RECORD_MAX && n <= w->bytes &&
           w->kind >= TAP_MESSAGE_IN && w->kind <= TAP_ENROLMENT && w->party <= TAP_SERVER &&
           w->number != 0;
}

static void show(const struct tap_wire *w, char *texts, struct tap_record *out)
{
    char *octets = texts + w->text_n[0];

    *out = (struct tap_record){.kind = (enum tap_kind)w->kind,
                               .party = (enum tap_party)w->party,
                               .is_proven = w->is_proven != 0,
                               .is_emergency = w->is_emergency != 0,
                               .status = w->status,
                               .line = w->line,
                               .trunk = w->trunk,
                               .at_us = w->at_us,
                               .local = w->local,
                               .remote = w->remote};
    for (unsigned i = 0; i < TAP_TEXTS_MAX; i++) {
        out->text[i] = view_from(texts, w->text_n[i]);
        texts += w->text_n[i];
    }
    if (w->kind == TAP_MESSAGE_IN || w->kind == TAP_MESSAGE_OUT) {
        out->text[1].n = laes_cut(octets, w->text_n[1]); /* our copy: orders of others */
    }
}

enum err tap_next(struct tap_reader *t, unsigned ring, struct tap_record *out, uint64_t *number,
                  uint64_t *lost)
{
    struct ring *r = &t->ring[ring];

    for (;;) {
        uint64_t done = atomic_load_explicit(&r->head->done, memory_order_acquire);
        struct tap_wire w;
        if (r->is_bad) {
            return FAIL(E_PARSE);
        }
        if (r->at == done) {
            return E_NOTFOUND;
        }
        if (!copy_out(t, r, &w, sizeof w)) {
            r->at = oldest(t, r); /* the writer went round */
            continue;
        }
        if (!is_sound(&w) || w.number <= r->number) {
            r->is_bad = true;
            return FAIL(E_PARSE);
        }
        if (!copy_out(t, r, t->record, w.bytes)) {
            r->at = oldest(t, r);
            continue;
        }
        *lost = w.number - r->number - 1;
        *number = w.number;
        r->at += w.bytes;
        r->number = w.number;
        /* w as it was checked: the ring is not ours, and may have another one by now. */
        show(&w, t->record + sizeof w, out);
        return E_OK;
    }
}
