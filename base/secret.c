#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum err secret_set(struct secret *s, const void *p, size_t n)
{
    if (n > SECRET_MAX) {
        return FAIL(E_RANGE);
    }
    if (n > 0) {
        memmove(s->b, p, n); /* p may be a part of the old key */
    }
    wipe(s->b + n, SECRET_MAX - n);
    s->n = n;
    return E_OK;
}

enum err secret_random(struct secret *s, size_t n)
{
    if (n > SECRET_MAX) {
        return FAIL(E_RANGE);
    }
    secret_wipe(s);
    if (RAND_priv_bytes(s->b, (int)n) != 1) {
        secret_wipe(s);
        return FAIL(E_CRYPTO);
    }
    s->n = n;
    return E_OK;
}

bool secret_eq(const struct secret *a, const struct secret *b)
{
    return a->n == b->n && a->n > 0 && CRYPTO_memcmp(a->b, b->b, a->n) == 0;
}

void secret_wipe(struct secret *s)
{
    OPENSSL_cleanse(s, sizeof *s);
}

void wipe(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}

bool bytes_eq(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

static size_t whole_pages(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (n + page - 1) / page * page;
}

void *secret_alloc(size_t n)
{
    size_t size = whole_pages(n);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }
    madvise(p, size, MADV_DONTDUMP);
    mlock(p, size); /* best effort: RLIMIT_MEMLOCK may be small */
    return p;
}

void secret_release(void *p, size_t n)
{
    if (p != NULL) {
        OPENSSL_cleanse(p, n);
        munmap(p, whole_pages(n));
    }
}

static enum err check_file(int fd, bool any_mode, size_t max)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return FAIL(E_IO);
    }
    if (!S_ISREG(st.st_mode) || (!any_mode && (st.st_mode & 077) != 0)) {
        return FAIL(E_DENIED);
    }
    return (uint64_t)st.st_size > max ? FAIL(E_RANGE) : E_OK;
}

/* Until the end of the file: what stat() said of its size may be old. */
static enum err read_whole(int fd, char *dst, size_t max, size_t *out_n)
{
    size_t n = 0;
    char more;

    for (;;) {
        ssize_t got = n < max ? read(fd, dst + n, max - n) : read(fd, &more, 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            *out_n = n;
            return got == 0 ? E_OK : FAIL(E_IO);
        }
        if (n == max) {
            return FAIL(E_RANGE);
        }
        n += (size_t)got;
    }
}

enum err secret_file_read(const char *path, bool any_mode, void *dst, size_t max, size_t *out_n)
{
    enum err e = E_IO;
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return FAIL(errno == ENOENT                     ? E_NOTFOUND
                    : errno == EACCES || errno == ELOOP ? E_DENIED
                                                        : E_IO);
    }
    TRY(check_file(fd, any_mode, max));
    TRY(read_whole(fd, dst, max, &n));
    *out_n = n;
out:
    close(fd);
    return e;
}
