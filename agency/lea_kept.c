/* Reads back what was kept, message by message. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agency/lea.h"
#include "base/mem.h"

void lea_kept_path(const char *folder, enum lea_channel channel, char *dst, size_t dst_bytes)
{
    snprintf(dst, dst_bytes, "%s/%s.%s", folder, lea_channel_name(channel),
             channel == LEA_CDC ? "ber" : "pdu");
}

/* All whole messages at the front of the n octets; how many octets they were. */
static enum err take_whole(enum lea_channel channel, struct view octets, lea_each_fn *fn, void *arg,
                           size_t *used, char why[LEA_WHY])
{
    enum err e = E_OK;

    *used = 0;
    while (*used < octets.n) {
        struct lea_message m;
        e = lea_read(channel, view_sub(octets, *used, octets.n), &m, why);
        if (e != E_OK) {
            return e == E_RANGE ? E_OK : e; /* the rest of it comes */
        }
        TRY(fn(arg, &m));
        *used += m.octets.n;
    }
out:
    return e;
}

static enum err take_file(FILE *f, enum lea_channel channel, lea_each_fn *fn, void *arg, char *buf,
                          char why[LEA_WHY])
{
    size_t n = 0, used = 0, got = 0;
    enum err e = E_OK;

    do {
        got = fread(buf + n, 1, LEA_MESSAGE_MAX - n, f);
        n += got;
        TRY(take_whole(channel, view_from(buf, n), fn, arg, &used, why));
        memmove(buf, buf + used, n - used);
        n -= used;
    } while (got > 0);
    if (n > 0) {
        e = FAIL(E_RANGE);
    }
out:
    return e;
}

enum err lea_kept_each(const char *folder, enum lea_channel channel, lea_each_fn *fn, void *arg)
{
    char path[1024], why[LEA_WHY] = "";
    char *buf = mem_zalloc(LEA_MESSAGE_MAX);
    FILE *f = NULL;
    enum err e = E_OK;

    if (buf == NULL) {
        return FAIL(E_NOMEM);
    }
    lea_kept_path(folder, channel, path, sizeof path);
    f = fopen(path, "rbe");
    if (f == NULL) {
        TRY(FAIL(errno == ENOENT ? E_NOTFOUND : E_IO));
    }
    e = take_file(f, channel, fn, arg, buf, why);
    if (e == E_PARSE) {
        fprintf(stderr, "headgate-lea: %s: %s\n", path, why[0] != 0 ? why : err_text(e));
    }
    fclose(f);
out:
    mem_free(buf);
    return e;
}

static enum err add_octets(void *arg, const struct lea_message *m)
{
    *(uint64_t *)arg += m->octets.n;
    return E_OK;
}

enum err lea_kept_mend(const char *folder, enum lea_channel channel)
{
    char path[1024];
    uint64_t whole = 0;
    enum err e = lea_kept_each(folder, channel, add_octets, &whole);

    lea_kept_path(folder, channel, path, sizeof path);
    if (e == E_RANGE) {
        fprintf(stderr, "headgate-lea: %s: its last message is not whole: cut off\n", path);
        e = truncate(path, (off_t)whole) == 0 ? E_OK : FAIL(E_IO);
    }
    return e == E_NOTFOUND ? E_OK : e;
}
