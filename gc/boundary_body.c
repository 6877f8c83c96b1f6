/* Bodies that speak SIP (message/sip, message/sipfrag: RFC 3261 section 27.5, RFC 3420) or another
 * signalling (ISUP, QSIG: RFC 3204), alone or as parts of a multipart. A multipart is not taken
 * apart, because others would take it apart in another way: its lines are looked at wherever they
 * stand. */
#include <string.h>

#include "gc/boundary_int.h"

struct body_kind {
    bool is_multipart, has_sip, has_signalling, is_encoded, is_unclear;
    bool is_packed; /* as a whole: nobody can say what it holds */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct view skip_blanks(struct view v)
{
    while (v.n > 0 && is_blank(v.p[0])) {
        v = view_sub(v, 1, v.n);
    }
    return v;
}

static struct view take_token(struct view *v)
{
    size_t n = 0;

    while (n < v->n && is_token_char((unsigned char)v->p[n])) {
        n++;
    }
    struct view token = view_sub(*v, 0, n);
    *v = skip_blanks(view_sub(*v, n, v->n));
    return token;
}

static bool is_signalling(struct view subtype)
{
    static const char *const types[] = {"isup", "qsig", "x-isup", "x-qsig", "vnd.cirpack.isdn-ext"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (view_eq_nocase(subtype, view_of(types[i]))) {
            return true;
        }
    }
    return false;
}

/* What the value of a Content-Type adds. True: it may not be what it seems, or may not pass. */
static bool read_type(struct view value, struct body_kind *k)
{
    struct view rest = skip_blanks(value), type = take_token(&rest), subtype;

    if (type.n == 0 || rest.n == 0 || rest.p[0] != '/') {
        k->is_unclear = true;
        return true;
    }
    rest = skip_blanks(view_sub(rest, 1, rest.n));
    subtype = take_token(&rest);
    if (subtype.n == 0 || (rest.n > 0 && rest.p[0] != ';')) {
        k->is_unclear = true;
        return true;
    }
    if (view_eq_nocase(type, VIEW("multipart"))) {
        k->is_multipart = true;
    } else if (view_eq_nocase(type, VIEW("message")) && view_starts_nocase(subtype, VIEW("sip"))) {
        k->has_sip = true;
        return true;
    } else if (view_eq_nocase(type, VIEW("application")) && is_signalling(subtype)) {
        k->has_signalling = true;
        return true;
    }
    return false;
}

static bool is_as_it_stands(struct view coding)
{
    struct view v = sip_trim(coding);

    return view_eq_nocase(v, VIEW("7bit")) || view_eq_nocase(v, VIEW("8bit")) ||
           view_eq_nocase(v, VIEW("binary")) || view_eq_nocase(v, VIEW("identity"));
}

/* ---- lines -------------------------------------------------------------------------------------
 */
/* Ends by CR, LF or both: each is a line end to somebody. */
static struct view next_line(struct view *rest)
{
    size_t n = 0;
    struct view line;

    while (n < rest->n && rest->p[n] != '\r' && rest->p[n] != '\n') {
        n++;
    }
    n += n + 1 < rest->n && rest->p[n] == '\r' && rest->p[n + 1] == '\n';
    line = view_sub(*rest, 0, n + 1);
    *rest = view_sub(*rest, n + 1, rest->n);
    return line;
}

/* With the lines that continue it. */
static struct view next_header(struct view *rest)
{
    struct view first = next_line(rest);

    while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t') && sip_trim(first).n > 0) {
        first.n += next_line(rest).n;
    }
    return first;
}

static bool split(struct view line, struct sip_hdr *out)
{
    size_t colon = 0;

    if (!view_find(line, ':', &colon)) {
        return false;
    }
    out->name = sip_trim(view_sub(line, 0, colon));
    out->value = sip_trim(view_sub(line, colon + 1, line.n));
    out->line = line;
    for (size_t i = 0; i < out->name.n; i++) {
        if (!is_token_char((unsigned char)out->name.p[i])) {
            return false;
        }
    }
    out->id = (uint8_t)sip_hdr_id_of(out->name);
    return out->name.n > 0;
}

static bool is_coding(const struct sip_hdr *h)
{
    return view_eq_nocase(h->name, VIEW("Content-Transfer-Encoding")) ||
           h->id == SIP_H_CONTENT_ENCODING;
}

static struct body_kind kind_of(const struct sip_msg *m)
{
    struct body_kind k = {.is_multipart = false};
    struct view rest = m->body;
    struct sip_hdr h;

    (void)read_type(sip_header_value(m, SIP_H_CONTENT_TYPE), &k);
    for (unsigned i = 0; i < m->n_headers; i++) {
        k.is_packed |= is_coding(&m->h[i]) && !is_as_it_stands(m->h[i].value);
    }
    k.is_encoded = k.is_packed;
    while (k.is_multipart && rest.n > 0) {
        if (split(next_header(&rest), &h)) {
            bool was_unclear = k.is_unclear;
            if (h.id == SIP_H_CONTENT_TYPE) {
                (void)read_type(h.value, &k);
            }
            if (h.name.n == 1) { /* MIME knows no compact form: it may be anything */
                k.is_unclear = was_unclear;
            }
            k.is_encoded |= is_coding(&h) && !is_as_it_stands(h.value);
        }
    }
    return k;
}

/* ---- verdicts ----------------------------------------------------------------------------------
 */
static bool line_goes(const struct crossing *c, const struct sip_hdr *h)
{
    enum boundary_rule_id rule = boundary_rule_of((enum sip_hdr_id)h->id, h->name);

    return rule != RULE_NONE && rule != RULE_PROOF && boundary_goes(c, rule, h);
}

/* The body without the lines that go; types that may not pass become one that nobody reads. */
static bool rewrite(const struct crossing *c, const struct body_kind *k, bool hides,
                    struct sip_text *room)
{
    struct view rest = c->m->body;
    bool any = false;

    while (rest.n > 0) {
        struct body_kind part = {.is_multipart = false};
        struct view line = next_header(&rest);
        struct sip_hdr h;
        bool is_header = split(line, &h);
        if (is_header && k->has_sip && line_goes(c, &h)) {
            any = true;
        } else if (is_header && hides && h.id == SIP_H_CONTENT_TYPE && read_type(h.value, &part)) {
            any = true;
            if (room != NULL) {
                sip_text_add(room, "Content-Type: application/octet-stream\r\n");
            }
        } else if (room != NULL) {
            sip_text_view(room, line);
        }
    }
    return any;
}

enum boundary_rule_id boundary_body(const struct crossing *c, struct sip_edit *e,
                                    struct sip_text *room)
{
    struct view type = sip_header_value(c->m, SIP_H_CONTENT_TYPE);
    struct body_kind k;
    enum boundary_rule_id found = RULE_NONE;
    size_t begin = room != NULL ? room->n : 0;

    BUG_ON((e != NULL) != (room != NULL));
    if (c->m->body.n == 0 || view_eq_nocase(type, VIEW("application/sdp"))) {
        return RULE_NONE;
    }
    k = kind_of(c->m);
    found = k.has_signalling ? RULE_BODY_SIGNALLING
            : (k.has_sip && k.is_encoded) || (k.is_multipart && k.is_packed) || k.is_unclear
                ? RULE_BODY_OPAQUE
                : RULE_NONE;
    if (found != RULE_NONE && (!k.is_multipart || k.is_packed)) {
        if (e != NULL) {
            sip_edit_body(e, VIEW(""), VIEW(""));
        }
        return found;
    }
    if (found == RULE_NONE && !k.has_sip) {
        return RULE_NONE;
    }
    if (rewrite(c, &k, found != RULE_NONE, room)) {
        found = found != RULE_NONE ? found : RULE_BODY_SIP;
        if (e != NULL && room->bad) { /* longer than a message may be */
            sip_edit_body(e, VIEW(""), VIEW(""));
        } else if (e != NULL) {
            sip_edit_body(e, VIEW(""), view_from(room->p + begin, room->n - begin));
        }
    }
    return found;
}
