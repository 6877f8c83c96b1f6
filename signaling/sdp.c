/* SDP: lines in their order, each read into locals; a media description is taken when it is whole.
 */
#include "signaling/sdp.h"

#include <string.h>

struct reader {
    struct sdp s;
    const char *why;
    struct sdp_media session; /* defaults: address, direction, setup, connection */
    struct sdp_media *m;      /* the current media, or &session */
    unsigned stage;           /* lines seen: 0 none, 1 v, 2 o, 3 s, 4 t */
    bool has_c, has_direction;
    bool media_c[SDP_MAX_MEDIA], media_direction[SDP_MAX_MEDIA];
};

static enum err refuse(struct reader *r, enum err e, const char *why)
{
    r->why = why;
    return e;
}

static bool is_current_session(const struct reader *r)
{
    return r->m == &r->session;
}

/* The next blank-separated word; words are parted by exactly one blank. */
static enum err word(struct cursor *c, struct view *out)
{
    struct view rest = cur_rest(c);
    size_t n = 0;

    while (n < rest.n && rest.p[n] != ' ') {
        n++;
    }
    if (n == 0) {
        return FAIL(E_PARSE);
    }
    *out = view_sub(rest, 0, n);
    c->at += n;
    if (n < rest.n) {
        c->at++;
        if (c->at == c->end) {
            return FAIL(E_PARSE); /* a blank at the end of the line */
        }
    }
    return E_OK;
}

static enum err word_number(struct cursor *c, uint64_t max, uint64_t *out)
{
    struct view w;
    enum err e = E_PARSE;

    TRY(word(c, &w));
    TRY(view_to_u64(w, max, out));
out:
    return e;
}

static enum err origin(struct reader *r, struct view value)
{
    struct cursor c = cursor_over(value);
    struct view net, type, address;
    enum err e = E_PARSE;

    TRY(word(&c, &r->s.origin_username));
    TRY(word_number(&c, UINT64_MAX, &r->s.session_id));
    TRY(word_number(&c, UINT64_MAX, &r->s.session_version));
    TRY(word(&c, &net));
    TRY(word(&c, &type));
    TRY(word(&c, &address));
    e = cur_done(&c) ? E_OK : FAIL(E_PARSE);
out:
    return e;
}

static enum err connection(struct reader *r, struct view value)
{
    struct cursor c = cursor_over(value);
    struct view net, type, text;
    struct net_addr a;
    bool *seen = is_current_session(r) ? &r->has_c : &r->media_c[r->s.n_media - 1];
    size_t slash = 0;
    enum err e = E_PARSE;

    TRY(*seen ? FAIL(E_PARSE) : E_OK);
    TRY(word(&c, &net));
    TRY(word(&c, &type));
    TRY(word(&c, &text));
    TRY(cur_done(&c) && view_eq(net, VIEW("IN")) ? E_OK : FAIL(E_PARSE));
    TRY(view_find(text, '/', &slash) || text.p[0] == '[' ? FAIL(E_PARSE) : E_OK); /* multicast */
    TRY(net_parse_ip(text, &a));
    TRY(view_eq(type, a.family == 4 ? VIEW("IP4") : VIEW("IP6")) ? E_OK : FAIL(E_PARSE));
    r->m->address = a;
    *seen = true;
out:
    return e;
}

static enum err media_line(struct reader *r, struct view value)
{
    struct cursor c = cursor_over(value), port_at;
    struct sdp_media m = {.event_format = -1};
    struct view port;
    uint64_t n = 0;
    enum err e = E_PARSE;

    if (r->s.n_media == SDP_MAX_MEDIA) {
        return refuse(r, E_RANGE, "Too many m= lines");
    }
    TRY(word(&c, &m.kind));
    TRY(word(&c, &port));
    port_at = cursor_over(port);
    TRY(cur_u64(&port_at, 65535, &n));
    m.port = (uint16_t)n;
    if (!cur_done(&port_at)) { /* "port/count": one pair of ports is all that we use */
        TRY(cur_lit(&port_at, VIEW("/")));
        TRY(view_to_u64(cur_rest(&port_at), 1, &n));
        TRY(n == 1 ? E_OK : FAIL(E_RANGE));
    }
    TRY(word(&c, &m.proto));
    do {
        if (m.n_formats == SDP_MAX_FORMATS) {
            return refuse(r, E_RANGE, "Too many formats");
        }
        TRY(word(&c, &m.format[m.n_formats]));
        m.n_formats++;
    } while (!cur_done(&c));
    r->m = &r->s.media[r->s.n_media++];
    *r->m = m;
out:
    return e;
}

/* ---- attributes ------------------------------------------------------------------------------ */
static bool is_base64(struct view v)
{
    size_t n = v.n;

    while (n > 0 && v.n - n < 2 && v.p[n - 1] == '=') {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)v.p[i], l = c | 32;
        if (!is_digit(c) && !(l >= 'a' && l <= 'z') && c != '+' && c != '/') {
            return false;
        }
    }
    return n > 0 && v.n % 4 == 0;
}

/* RFC 4568 section 9.1. What we could not honour (an MKI, a second key, session parameters, another
 * key method) makes a line that we may not choose: it is left out, as section 6.1 and 6.3.7 want.
 */
static enum err crypto(struct reader *r, struct view value)
{
    struct cursor c = cursor_over(value);
    struct sdp_crypto k;
    struct view key;
    uint64_t tag = 0;
    size_t at = 0;
    bool usable = true;
    enum err e = E_PARSE;

    if (r->m->n_crypto == SDP_MAX_CRYPTO) {
        return refuse(r, E_RANGE, "Too many a=crypto lines");
    }
    TRY(word_number(&c, 999999999, &tag));
    k.tag = (uint32_t)tag;
    for (unsigned i = 0; i < r->m->n_crypto; i++) {
        TRY(r->m->crypto[i].tag == k.tag ? FAIL(E_PARSE) : E_OK);
    }
    TRY(word(&c, &k.suite));
    TRY(word(&c, &key));
    usable = cur_done(&c) && view_starts_nocase(key, VIEW("inline:")) && !view_find(key, ';', &at);
    if (!usable) {
        goto out;
    }
    key = view_sub(key, 7, key.n);
    k.key_base64 = key;
    if (view_find(key, '|', &at)) {
        k.key_base64 = view_sub(key, 0, at);
        if (view_find(view_sub(key, at, key.n), ':', &at)) {
            goto out; /* MKI */
        }
    }
    TRY(is_base64(k.key_base64) ? E_OK : FAIL(E_PARSE));
    r->m->crypto[r->m->n_crypto++] = k;
out:
    return e;
}

static enum err rtpmap(struct reader *r, struct view value)
{
    struct cursor c = cursor_over(value);
    struct view type, encoding;
    uint64_t pt = 0;
    enum err e = E_PARSE;

    TRY(word(&c, &type));
    TRY(view_to_u64(type, 127, &pt));
    TRY(word(&c, &encoding));
    TRY(cur_done(&c) ? E_OK : FAIL(E_PARSE));
    if (!view_eq_nocase(encoding, VIEW("telephone-event/8000"))) {
        goto out;
    }
    for (unsigned i = 0; i < r->m->n_formats; i++) {
        uint64_t f = 0;
        if (r->m->event_format < 0 && view_to_u64(r->m->format[i], 127, &f) == E_OK && f == pt) {
            r->m->event_format = (int)pt;
        }
    }
out:
    return e;
}

static bool direction(struct reader *r, struct view name)
{
    static const char *const names[] = {"sendrecv", "sendonly", "recvonly", "inactive"};

    for (unsigned i = 0; i < 4; i++) {
        if (view_eq(name, view_of(names[i]))) {
            switch (i) {
            case 0:
                r->m->direction = SDP_SENDRECV;
                break;
            case 1:
                r->m->direction = SDP_SENDONLY;
                break;
            case 2:
                r->m->direction = SDP_RECVONLY;
                break;
            default:
                r->m->direction = SDP_INACTIVE;
                break;
            }
            return true;
        }
    }
    return false;
}

static bool one_of(struct view v, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (view_eq(v, view_of(*words))) {
            return true;
        }
    }
    return false;
}

static enum err attribute(struct reader *r, struct view value)
{
    static const char *const setups[] = {"active", "passive", "actpass", "holdconn", NULL};
    static const char *const connections[] = {"new", "existing", NULL};
    struct view name = value, arg = VIEW("");
    size_t colon = 0;

    if (view_find(value, ':', &colon)) {
        name = view_sub(value, 0, colon);
        arg = view_sub(value, colon + 1, value.n);
    }
    if (name.n == 0) {
        return FAIL(E_PARSE);
    }
    if (direction(r, name)) {
        bool *seen =
            is_current_session(r) ? &r->has_direction : &r->media_direction[r->s.n_media - 1];
        bool again = *seen;
        *seen = true;
        return again || arg.n > 0 ? FAIL(E_PARSE) : E_OK;
    }
    if (view_eq(name, VIEW("setup"))) {
        r->m->setup = arg;
        return one_of(arg, setups) ? E_OK : FAIL(E_PARSE);
    }
    if (view_eq(name, VIEW("connection"))) {
        r->m->connection = arg;
        return one_of(arg, connections) ? E_OK : FAIL(E_PARSE);
    }
    if (!is_current_session(r) && view_eq(name, VIEW("crypto"))) {
        return crypto(r, arg);
    }
    if (!is_current_session(r) && view_eq(name, VIEW("rtpmap"))) {
        return rtpmap(r, arg);
    }
    return E_OK;
}

/* ---- lines ----------------------------------------------------------------------------------- */
/* v, o, s come first and once; t once or more before the first m. */
static enum err opening(struct reader *r, char type, struct view value)
{
    static const char order[] = "vos";
    static const char *const missing[] = {"Missing v= line", "Missing o= line", "Missing s= line"};

    if (type != order[r->stage]) {
        return refuse(r, E_PARSE, missing[r->stage]);
    }
    r->stage++;
    if (type == 'v' && !view_eq(value, VIEW("0"))) {
        return refuse(r, E_PARSE, "Bad v= line");
    }
    if (type == 'o' && origin(r, value) != E_OK) {
        return refuse(r, E_PARSE, "Bad o= line");
    }
    return E_OK;
}

static enum err one_line(struct reader *r, char type, struct view value)
{
    enum err e = E_OK;

    if (r->stage < 3) {
        return opening(r, type, value);
    }
    switch (type) {
    case 'm':
        if (r->stage < 4) {
            return refuse(r, E_PARSE, "Missing t= line");
        }
        e = media_line(r, value);
        return e == E_OK || r->why != NULL ? e : refuse(r, e, "Bad m= line");
    case 'c':
        return connection(r, value) == E_OK ? E_OK : refuse(r, E_PARSE, "Bad c= line");
    case 'a':
        e = attribute(r, value);
        return e == E_OK || r->why != NULL ? e : refuse(r, e, "Bad a= line");
    case 't':
        r->stage = 4;
        return is_current_session(r) ? E_OK : refuse(r, E_PARSE, "t= line in a media");
    case 'i':
    case 'b':
    case 'k':
        return E_OK;
    case 'u':
    case 'e':
    case 'p':
    case 'r':
    case 'z':
        return is_current_session(r) ? E_OK : refuse(r, E_PARSE, "Session line in a media");
    default: /* RFC 8866 section 5: a letter that is not known spoils the whole description */
        return refuse(r, E_PARSE, "Unknown line");
    }
}

/* CRLF, or LF alone as RFC 8866 section 5 asks of readers; the last line may lack it. */
static enum err next_line(struct reader *r, struct view *rest, struct view *out)
{
    size_t lf = rest->n;
    struct view line;

    (void)view_find(*rest, '\n', &lf);
    line = view_sub(*rest, 0, lf);
    *rest = view_sub(*rest, lf + 1, rest->n);
    if (line.n > 0 && line.p[line.n - 1] == '\r') {
        line.n--;
    }
    for (size_t i = 0; i < line.n; i++) {
        unsigned char c = (unsigned char)line.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return refuse(r, E_PARSE, "Control character");
        }
    }
    if (line.n < 2 || line.p[1] != '=') {
        return refuse(r, E_PARSE, "Line without type");
    }
    *out = line;
    return E_OK;
}

static enum err inherit(struct reader *r)
{
    for (unsigned i = 0; i < r->s.n_media; i++) {
        struct sdp_media *m = &r->s.media[i];
        if (!r->media_c[i]) {
            m->address = r->session.address;
        }
        if (!r->media_direction[i]) {
            m->direction = r->session.direction;
        }
        m->setup = m->setup.n > 0 ? m->setup : r->session.setup;
        m->connection = m->connection.n > 0 ? m->connection : r->session.connection;
        if (m->address.family == 0 && m->port != 0) {
            return refuse(r, E_PARSE, "Missing c= line");
        }
        m->address.port = m->port;
    }
    return E_OK;
}

enum err sdp_parse(struct view text, struct sdp *out, const char **why)
{
    static const char *const missing[] = {"Missing v= line", "Missing o= line", "Missing s= line",
                                          "Missing t= line"};
    struct reader r;
    struct view rest = text, line;
    enum err e = E_PARSE;

    memset(&r, 0, sizeof r);
    r.m = &r.session;
    TRY(text.n <= SDP_MAX_BYTES ? E_OK : refuse(&r, E_RANGE, "SDP too large"));
    while (rest.n > 0) {
        TRY(next_line(&r, &rest, &line));
        TRY(one_line(&r, line.p[0], view_sub(line, 2, line.n)));
    }
    TRY(r.stage == 4 ? E_OK : refuse(&r, E_PARSE, missing[r.stage]));
    TRY(inherit(&r));
    *out = r.s;
out:
    if (e != E_OK) {
        *why = r.why;
    }
    return e;
}

const struct sdp_media *sdp_find(const struct sdp *s, struct view kind)
{
    for (unsigned i = 0; i < s->n_media; i++) {
        if (view_eq(s->media[i].kind, kind)) {
            return &s->media[i];
        }
    }
    return NULL;
}
