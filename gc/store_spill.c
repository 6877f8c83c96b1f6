/* Call records in a file while PostgreSQL is away. A line is 16 hex digits of its SHA-256, a space,
 * and the row as COPY takes it: a line that a crash or a disk damaged is told from a good one. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "gc/store_int.h"

#define CHECK_BYTES 8
#define PREFIX      (2 * CHECK_BYTES + 1)
#define CHUNK       65536
#define PATH_BYTES  4096

struct spill {
    char path[PATH_BYTES];
    int fd;
    off_t size, taken, peeked; /* octets: all, those in the database, those that peek gave */
    uint64_t rows, peeked_rows, damaged;
};

/* ---- opening -----------------------------------------------------------------------------------
 */
static void sync_folder(const char *path)
{
    char copy[PATH_BYTES];
    int fd = -1;

    snprintf(copy, sizeof copy, "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        if (fsync(fd) != 0) {
            LOG(LV_WARN, "cdr.spill_folder", KV("file", path), KV("errno", errno));
        }
        close(fd);
    }
}

/* Rows, and where the last whole line ends. */
static enum err count_lines(struct spill *s)
{
    char *chunk = mem_zalloc(CHUNK);
    off_t at = 0, end = 0;
    ssize_t n = 0;

    if (chunk == NULL) {
        return FAIL(E_NOMEM);
    }
    while ((n = pread(s->fd, chunk, CHUNK, at)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (chunk[i] == '\n') {
                s->rows++;
                end = at + i + 1;
            }
        }
        at += n;
    }
    mem_free(chunk);
    if (n < 0 || (at > end && ftruncate(s->fd, end) != 0)) {
        return FAIL(E_IO);
    }
    if (at > end) {
        LOG(LV_WARN, "cdr.spill_torn", KV("file", (const char *)s->path), KV("octets", at - end));
    }
    s->size = end;
    return E_OK;
}

enum err spill_open(const char *path, struct spill **out)
{
    struct spill *s = mem_zalloc(sizeof *s);
    struct stat st;
    enum err e = E_OK;

    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    s->fd = -1;
    if (view_to_cstr(view_of(path), s->path, sizeof s->path - 16) != E_OK) {
        TRY(FAIL(E_RANGE));
    }
    s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (s->fd < 0 || fstat(s->fd, &st) != 0 || !S_ISREG(st.st_mode) || fchmod(s->fd, 0600) != 0) {
        TRY(FAIL(E_IO));
    }
    if (flock(s->fd, LOCK_EX | LOCK_NB) != 0) {
        TRY(FAIL(E_EXISTS)); /* two processes would each think the other's rows stored */
    }
    TRY(count_lines(s));
    sync_folder(path);
    *out = s;
    s = NULL;
out:
    spill_close(s);
    return e;
}

void spill_close(struct spill *s)
{
    if (s != NULL) {
        if (s->fd >= 0) {
            close(s->fd);
        }
        mem_free(s);
    }
}

uint64_t spill_rows(const struct spill *s)
{
    return s->rows;
}

uint64_t spill_damaged(const struct spill *s)
{
    return s->damaged;
}

/* ---- writing -----------------------------------------------------------------------------------
 */
static enum err check_text(struct view line, char out[PREFIX])
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * CHECK_BYTES + 1];
    enum err e = sha256(line, digest);

    if (e == E_OK) {
        hex_put(digest, CHECK_BYTES, hex);
        memcpy(out, hex, sizeof hex - 1);
        out[PREFIX - 1] = ' ';
    }
    return e;
}

static bool next_line(struct view *rest, struct view *line)
{
    size_t at = 0;

    if (!view_find(*rest, '\n', &at)) {
        return false;
    }
    *line = view_sub(*rest, 0, at);
    *rest = view_sub(*rest, at + 1, rest->n);
    return true;
}

static enum err write_at(int fd, const char *p, size_t n, off_t at)
{
    while (n > 0) {
        ssize_t put = pwrite(fd, p, n, at);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return FAIL(E_IO);
        }
        p += put;
        n -= (size_t)put;
        at += put;
    }
    return E_OK;
}

enum err spill_append(struct spill *s, struct view lines, size_t n)
{
    char *text = mem_zalloc(lines.n + n * PREFIX + 1);
    size_t text_n = 0, rows = 0;
    struct view rest = lines, line = {0};
    enum err e = text != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    while (rows < n && next_line(&rest, &line)) {
        TRY(check_text(line, text + text_n));
        memcpy(text + text_n + PREFIX, line.p, line.n + 1);
        text_n += PREFIX + line.n + 1;
        rows++;
    }
    BUG_ON(rows != n || rest.n != 0);
    e = write_at(s->fd, text, text_n, s->size);
    if (e == E_OK && fdatasync(s->fd) != 0) {
        e = FAIL(E_IO);
    }
    if (e == E_OK) {
        s->size += (off_t)text_n;
        s->rows += rows;
    } else if (ftruncate(s->fd, s->size) != 0) { /* what half was written is written over */
        LOG(LV_WARN, "cdr.spill_truncate", KV("file", (const char *)s->path), KV("errno", errno));
    }
out:
    mem_free(text);
    return e;
}

/* ---- putting aside -----------------------------------------------------------------------------
 */
static enum err put_aside(const struct spill *s, const char *suffix, struct view octets)
{
    char path[PATH_BYTES + 16];
    enum err e = E_OK;
    int fd = -1;

    snprintf(path, sizeof path, "%s.%s", s->path, suffix);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return FAIL(E_IO);
    }
    if (write(fd, octets.p, octets.n) != (ssize_t)octets.n || fsync(fd) != 0) {
        e = FAIL(E_IO);
    }
    close(fd);
    return e;
}

enum err spill_refuse(struct spill *s, struct view line)
{
    return put_aside(s, "refused", line);
}

static void put_damaged(struct spill *s, struct view line)
{
    s->damaged++;
    LOG(LV_ERROR, "cdr.spill_damaged", KV("file", (const char *)s->path), KV("octets", line.n),
        KV_ERR(put_aside(s, "damaged", line)));
}

/* ---- reading -----------------------------------------------------------------------------------
 */
static bool is_good(struct view line, struct view *row)
{
    char check[PREFIX];

    *row = view_sub(line, PREFIX, line.n);
    return line.n > PREFIX && check_text(*row, check) == E_OK && memcmp(line.p, check, PREFIX) == 0;
}

struct taker {
    char *dst;
    size_t max, max_rows, n, rows;
    bool full;
};

/* Whole lines of one chunk; returns the octets that are done with. */
static size_t take_lines(struct spill *s, struct view chunk, struct taker *t)
{
    struct view rest = chunk, line = {0}, row = {0};
    struct view before = rest;

    while (!t->full && next_line(&rest, &line)) {
        if (!is_good(line, &row)) {
            put_damaged(s, view_from(line.p, line.n + 1));
        } else if (t->rows == t->max_rows || row.n + 1 > t->max - t->n) {
            t->full = true;
            break;
        } else {
            memcpy(t->dst + t->n, row.p, row.n + 1);
            t->n += row.n + 1;
            t->rows++;
        }
        s->peeked_rows++;
        before = rest;
    }
    return chunk.n - before.n;
}

enum err spill_peek(struct spill *s, char *dst, size_t max, size_t max_rows, size_t *out_n,
                    size_t *out_rows)
{
    struct taker t = {.dst = dst, .max = max, .max_rows = max_rows};
    char *chunk = mem_zalloc(CHUNK);
    enum err e = chunk != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    s->peeked = s->taken;
    s->peeked_rows = 0;
    while (!t.full && s->peeked < s->size) {
        off_t left = s->size - s->peeked;
        ssize_t n = pread(s->fd, chunk, left < CHUNK ? (size_t)left : CHUNK, s->peeked);
        size_t done = 0;
        if (n <= 0) {
            TRY(FAIL(E_IO));
        }
        done = take_lines(s, view_from(chunk, (size_t)n), &t);
        if (done == 0 && !t.full) { /* no line of ours is that long */
            put_damaged(s, view_from(chunk, (size_t)n));
            done = (size_t)n;
        }
        s->peeked += (off_t)done;
    }
    *out_n = t.n;
    *out_rows = t.rows;
out:
    mem_free(chunk);
    return e;
}

enum err spill_taken(struct spill *s)
{
    s->taken = s->peeked;
    s->rows -= s->peeked_rows < s->rows ? s->peeked_rows : s->rows;
    s->peeked_rows = 0;
    if (s->taken < s->size) {
        return E_OK;
    }
    s->rows = 0;
    if (ftruncate(s->fd, 0) != 0) {
        return FAIL(E_IO); /* read once more after a restart: the database knows the rows */
    }
    s->size = 0;
    s->taken = 0;
    s->peeked = 0;
    return fdatasync(s->fd) == 0 ? E_OK : FAIL(E_IO);
}
