/* The answer to a re-INVITE: our SDP again, its directions fitted to the offer. */
#include <string.h>

#include "base/mem.h"
#include "signaling/sdp.h"
#include "signaling/sip_ua_int.h"

enum { MAY_SEND = 1, MAY_RECEIVE = 2, REFUSED = 4, SHAPE_BITS = 3 };

/* What we may do on one media line. */
static unsigned shape_of(const struct sdp_media *m)
{
    if (m->port == 0) {
        return REFUSED;
    }
    switch (m->direction) {
    case SDP_SENDRECV:
        return MAY_SEND | MAY_RECEIVE;
    case SDP_SENDONLY:
        return MAY_SEND;
    case SDP_RECVONLY:
        return MAY_RECEIVE;
    case SDP_INACTIVE:
        break;
    }
    return 0;
}

/* RFC 3264 section 6.1: what the peer may not receive we may not send, and the other way round. */
static unsigned fit(unsigned mine, unsigned offer)
{
    unsigned turned =
        ((offer & MAY_RECEIVE) != 0 ? MAY_SEND : 0u) | ((offer & MAY_SEND) != 0 ? MAY_RECEIVE : 0u);

    return ((mine | offer) & REFUSED) != 0 ? REFUSED : mine & turned;
}

static uint32_t put_shape(uint32_t shape, unsigned i, unsigned one)
{
    return shape | (uint32_t)one << (SHAPE_BITS * i);
}

static unsigned get_shape(uint32_t shape, unsigned i)
{
    return shape >> (SHAPE_BITS * i) & (MAY_SEND | MAY_RECEIVE | REFUSED);
}

static uint32_t own_shape(const struct sdp *s)
{
    uint32_t shape = 0;

    for (unsigned i = 0; i < s->n_media; i++) {
        shape = put_shape(shape, i, shape_of(&s->media[i]));
    }
    return shape;
}

uint32_t ua_sdp_shape(struct view mine)
{
    struct sdp *s = mem_zalloc(sizeof *s);
    const char *why = "";
    uint32_t shape = 0;

    if (s != NULL && sdp_parse(mine, s, &why) == E_OK) {
        shape = own_shape(s);
    }
    mem_free(s);
    return shape;
}

static enum err read_offer(const struct sdp *mine, struct view offer, uint32_t *shape)
{
    struct sdp *s = mem_zalloc(sizeof *s);
    const char *why = "";
    enum err e = s != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(sdp_parse(offer, s, &why));
    *shape = 0;
    for (unsigned i = 0; i < s->n_media; i++) {
        if (s->n_media != mine->n_media || !view_eq(s->media[i].kind, mine->media[i].kind)) {
            TRY(FAIL(E_NOTFOUND));
        }
        *shape = put_shape(*shape, i, fit(shape_of(&mine->media[i]), shape_of(&s->media[i])));
    }
    if (s->n_media == 0) {
        TRY(FAIL(E_NOTFOUND));
    }
out:
    mem_free(s);
    return e;
}

/* ---- writing -----------------------------------------------------------------------------------
 */
static void put_direction(struct sip_text *t, unsigned shape)
{
    static const char *const names[] = {"inactive", "sendonly", "recvonly", "sendrecv"};

    if ((shape & REFUSED) == 0) {
        sip_text_add(t, "a=%s\r\n", names[shape]);
    }
}

static bool is_direction(struct view line)
{
    return view_eq(line, VIEW("a=sendrecv")) || view_eq(line, VIEW("a=sendonly")) ||
           view_eq(line, VIEW("a=recvonly")) || view_eq(line, VIEW("a=inactive"));
}

/* o=<user> <id> <version> ...: the version grows with every change (RFC 3264 section 8). */
static void put_origin(struct sip_text *t, struct view line, const struct sdp *mine,
                       uint32_t changes)
{
    unsigned long long version = mine->session_version + changes;
    size_t at = 0, blanks = 0, end = 0;

    while (at < line.n && blanks < 2) {
        blanks += line.p[at++] == ' ';
    }
    end = at;
    while (end < line.n && line.p[end] != ' ') {
        end++;
    }
    sip_text_view(t, view_sub(line, 0, at));
    sip_text_add(t, "%llu", version);
    sip_text_view(t, view_sub(line, end, line.n));
    sip_text_add(t, "\r\n");
}

/* m=<kind> <port> ...: port 0 refuses. */
static void put_media(struct sip_text *t, struct view line, unsigned shape)
{
    size_t from = 0, to = 0;

    if ((shape & REFUSED) != 0 && view_find(line, ' ', &from)) {
        to = from + 1;
        while (to < line.n && line.p[to] != ' ') {
            to++;
        }
        sip_text_view(t, view_sub(line, 0, from));
        sip_text_add(t, " 0");
        line = view_sub(line, to, line.n);
    }
    sip_text_view(t, line);
    sip_text_add(t, "\r\n");
}

static void write_again(struct sip_text *t, struct view text, const struct sdp *mine,
                        uint32_t shape, uint32_t changes)
{
    unsigned n = 0;

    while (text.n > 0) {
        size_t end = 0;
        struct view line = view_find(text, '\n', &end) ? view_sub(text, 0, end) : text;
        text = view_sub(text, line.n + 1, text.n);
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        if (view_starts(line, VIEW("m="))) {
            if (n > 0) {
                put_direction(t, get_shape(shape, n - 1));
            }
            put_media(t, line, get_shape(shape, n));
            n++;
        } else if (view_starts(line, VIEW("o="))) {
            put_origin(t, line, mine, changes);
        } else if (line.n > 0 && !is_direction(line)) {
            sip_text_view(t, line);
            sip_text_add(t, "\r\n");
        }
    }
    if (n > 0) {
        put_direction(t, get_shape(shape, n - 1));
    }
}

enum err ua_sdp_again(struct view mine, struct view offer, uint32_t *shape, uint32_t *changes,
                      char *dst, size_t dst_bytes, size_t *out_n)
{
    struct sdp *s = mem_zalloc(sizeof *s);
    struct sip_text t = {.p = dst, .max = dst_bytes};
    const char *why = "";
    uint32_t fitted = 0, version = *changes;
    enum err e = s != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    if (sdp_parse(mine, s, &why) != E_OK) {
        TRY(FAIL(E_NOTFOUND));
    }
    fitted = own_shape(s);
    if (offer.n > 0) {
        TRY(read_offer(s, offer, &fitted));
    }
    version += fitted != *shape;
    write_again(&t, mine, s, fitted, version);
    if (t.bad) {
        TRY(FAIL(E_RANGE));
    }
    *shape = fitted;
    *changes = version;
    *out_n = t.n;
out:
    mem_free(s);
    return e;
}
