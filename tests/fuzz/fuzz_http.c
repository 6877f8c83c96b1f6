/* A connection's octets as headgate-admin reads them: heads one after the other, and chunked
 * bodies. However the octets come in pieces, the reading is the same. */
#include <stdlib.h>
#include <string.h>

#include "base/httpd_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The head at the front, fed by `step`; its length, 0 when refused or not whole. */
static size_t head_by(struct view octets, size_t step, unsigned *status)
{
    const char *why = NULL;
    size_t at = 0, n = 0;

    *status = 0;
    for (size_t have = step; n == 0 && *status == 0; have += step) {
        *status = http_head_end(view_sub(octets, 0, have), &at, &n, &why);
        if (have >= octets.n) {
            break;
        }
    }
    BUG_ON(*status != 0 && why == NULL);
    return n;
}

static size_t chunks_by(struct view octets, size_t step, uint8_t *body, size_t *used,
                        unsigned *status)
{
    struct http_chunked c = {0};
    const char *why = NULL;
    size_t n = 0;

    *used = 0;
    *status = 0;
    while (*status == 0 && !c.is_done && *used < octets.n) {
        struct view data;
        size_t taken = 0;
        *status = http_chunked_read(&c, view_sub(octets, *used, step), &taken, &data, &why);
        BUG_ON(*status == 0 && taken == 0);
        if (*status == 0) {
            memcpy(body + n, data.p, data.n);
            n += data.n;
            *used += taken;
        }
    }
    return n;
}

static void check_head(const struct http_head *h, struct view head)
{
    BUG_ON(h->target.n == 0 || h->target.p[0] != '/' || h->path.n == 0 || h->minor > 1);
    BUG_ON(h->is_chunked && h->has_length);
    BUG_ON(memchr(head.p, 0, head.n) != NULL);
    BUG_ON(http_head_field(h, VIEW("host")).n == 0);
    for (size_t i = 0; i < h->n_fields; i++) {
        BUG_ON(memchr(h->field[i].value.p, '\n', h->field[i].value.n) != NULL);
        for (size_t k = i + 1; k < h->n_fields; k++) {
            BUG_ON(view_eq_nocase(h->field[i].name, h->field[k].name) &&
                   (view_eq_nocase(h->field[i].name, VIEW("Host")) ||
                    view_eq_nocase(h->field[i].name, VIEW("Content-Length")) ||
                    view_eq_nocase(h->field[i].name, VIEW("Transfer-Encoding"))));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view octets = view_from(data, size);
    static struct http_head h;
    const char *why = NULL;
    unsigned whole = 0, pieces = 0;
    size_t n = head_by(octets, size + 1, &whole), used = 0, again_used = 0;
    uint8_t *body = malloc(2 * size + 1);

    BUG_ON(body == NULL);
    BUG_ON(n != head_by(octets, 1, &pieces) || whole != pieces);
    if (n > 0 && http_head_read(view_sub(octets, 0, n), &h, &why) == 0) {
        check_head(&h, view_sub(octets, 0, n));
        octets = view_sub(octets, n, size);
    }
    n = chunks_by(octets, size + 1, body, &used, &whole);
    BUG_ON(n != chunks_by(octets, 1, body + n, &again_used, &pieces) || whole != pieces);
    BUG_ON(whole == 0 && used != again_used);
    BUG_ON(whole == 0 && memcmp(body, body + n, n) != 0);
    free(body);
    return 0;
}
