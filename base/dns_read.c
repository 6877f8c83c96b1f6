/* Answers of DNS servers (RFC 1035 section 4): every octet is a stranger's. */
#include <string.h>

#include "base/dns.h"

enum {
    HEADER = 12,
    CLASS_IN = 1,
    TYPE_A = 1,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    TYPE_AAAA = 28,
    TYPE_SRV = 33,
    TYPE_NAPTR = 35,
    POINTERS_MAX = 32,
    ANSWERS_MAX = 128,
    TTL_MAX = 7 * 86400,
    NEGATIVE_TTL = 60, /* of a "no" without SOA */
    RCODE_NXDOMAIN = 3
};

struct reader {
    const uint8_t *p;
    size_t n, at;
};

static const uint16_t codes[] = {
    [DNS_A] = TYPE_A, [DNS_AAAA] = TYPE_AAAA, [DNS_SRV] = TYPE_SRV, [DNS_NAPTR] = TYPE_NAPTR};

static enum err get_u16(struct reader *r, uint16_t *out)
{
    if (r->n - r->at < 2) {
        return FAIL(E_PARSE);
    }
    *out = (uint16_t)(r->p[r->at] << 8 | r->p[r->at + 1]);
    r->at += 2;
    return E_OK;
}

static enum err get_u32(struct reader *r, uint32_t *out)
{
    uint16_t high = 0, low = 0;
    enum err e = get_u16(r, &high);

    TRY(e);
    TRY(get_u16(r, &low));
    *out = (uint32_t)high << 16 | low;
out:
    return e;
}

/* One label to dst; '.' inside of one would make another name. */
static enum err add_label(const uint8_t *label, size_t n, char dst[DNS_NAME_MAX], size_t *used)
{
    if (*used + n + 2 > DNS_NAME_MAX) {
        return FAIL(E_PARSE);
    }
    if (*used > 0) {
        dst[(*used)++] = '.';
    }
    for (size_t i = 0; i < n; i++) {
        char c = (char)label[i];
        c = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
            return FAIL(E_PARSE);
        }
        dst[(*used)++] = c;
    }
    return E_OK;
}

/* In lower case, without the dot at the end; compressed or not. Pointers only go back. */
static enum err get_name(struct reader *r, char dst[DNS_NAME_MAX])
{
    size_t at = r->at, end = 0, used = 0;
    unsigned pointers = 0;

    for (;;) {
        uint8_t n = 0;
        if (at >= r->n) {
            return FAIL(E_PARSE);
        }
        n = r->p[at];
        if ((n & 0xc0) == 0xc0) {
            size_t to = at + 1 < r->n ? (size_t)((n & 0x3f) << 8 | r->p[at + 1]) : r->n;
            end = end != 0 ? end : at + 2;
            if (to >= at || ++pointers > POINTERS_MAX) {
                return FAIL(E_PARSE);
            }
            at = to;
            continue;
        }
        if (n > 63 || at + 1 + n > r->n) {
            return FAIL(E_PARSE);
        }
        at += 1 + (size_t)n;
        if (n == 0) {
            break;
        }
        if (add_label(r->p + at - n, n, dst, &used) != E_OK) {
            return FAIL(E_PARSE);
        }
    }
    dst[used] = 0;
    r->at = end != 0 ? end : at;
    return E_OK;
}

/* Steps over a name whose octets do not matter: owners in other sections, mailboxes. */
static enum err skip_name(struct reader *r)
{
    while (r->at < r->n) {
        uint8_t n = r->p[r->at];
        if ((n & 0xc0) == 0xc0) {
            r->at += 2;
            return r->at <= r->n ? E_OK : FAIL(E_PARSE);
        }
        r->at += 1 + (size_t)n;
        if (n > 63) {
            break;
        }
        if (n == 0) {
            return E_OK;
        }
    }
    return FAIL(E_PARSE);
}

struct rr {
    char owner[DNS_NAME_MAX];
    uint16_t type, class;
    uint32_t ttl;
    size_t data, end; /* its rdata */
};

static enum err get_rr(struct reader *r, struct rr *out, bool wants_owner)
{
    uint16_t bytes = 0;
    enum err e = E_OK;
    size_t before = r->at;

    out->owner[0] = 0;
    if (!wants_owner || get_name(r, out->owner) != E_OK) {
        out->owner[0] = 0; /* a name that we could never have asked for */
        r->at = before;
        TRY(skip_name(r));
    }
    TRY(get_u16(r, &out->type));
    TRY(get_u16(r, &out->class));
    TRY(get_u32(r, &out->ttl));
    TRY(get_u16(r, &bytes));
    if (bytes > r->n - r->at) {
        TRY(FAIL(E_PARSE));
    }
    out->ttl = out->ttl > INT32_MAX ? 0 : out->ttl; /* RFC 2181 section 8 */
    out->ttl = out->ttl < TTL_MAX ? out->ttl : TTL_MAX;
    out->data = r->at;
    r->at += bytes;
    out->end = r->at;
out:
    return e;
}

/* ---- records -----------------------------------------------------------------------------------
 */
static enum err read_ip(const struct reader *r, const struct rr *rr, struct dns_record *out)
{
    size_t n = rr->end - rr->data;
    uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (n != (rr->type == TYPE_A ? 4 : 16)) {
        return FAIL(E_PARSE);
    }
    if (n == 16 && memcmp(r->p + rr->data, mapped, sizeof mapped) == 0) {
        return FAIL(E_PARSE); /* no host has an IPv4-mapped AAAA in earnest */
    }
    out->ip.family = n == 4 ? 4 : 6;
    memcpy(out->ip.ip, r->p + rr->data, n);
    return E_OK;
}

static enum err read_srv(struct reader *r, struct dns_record *out)
{
    enum err e = get_u16(r, &out->priority);

    TRY(e);
    TRY(get_u16(r, &out->weight));
    TRY(get_u16(r, &out->port));
    TRY(get_name(r, out->name));
out:
    return e;
}

/* A character-string; what does not fit or is no plain text makes the record useless. */
static enum err get_text(struct reader *r, char *dst, size_t dst_bytes, int fold)
{
    size_t n = r->at < r->n ? r->p[r->at] : r->n;

    if (n > r->n - r->at - 1 || n >= dst_bytes) {
        return FAIL(E_PARSE);
    }
    r->at++;
    for (size_t i = 0; i < n; i++) {
        char c = (char)r->p[r->at++];
        if (c <= ' ' || c > '~') {
            return FAIL(E_PARSE);
        }
        if (fold < 0 ? c >= 'A' && c <= 'Z' : c >= 'a' && c <= 'z') {
            c = (char)(c - fold * 32);
        }
        dst[i] = c;
    }
    dst[n] = 0;
    return E_OK;
}

static enum err read_naptr(struct reader *r, struct dns_record *out)
{
    enum err e = get_u16(r, &out->priority);

    TRY(e);
    TRY(get_u16(r, &out->weight));
    TRY(get_text(r, out->flags, sizeof out->flags, -1));
    TRY(get_text(r, out->service, sizeof out->service, 1));
    if (r->at >= r->n || r->p[r->at] != 0) {
        TRY(FAIL(E_NOTFOUND)); /* with a regular expression: SIP has no use for it */
    }
    r->at++;
    TRY(get_name(r, out->name));
out:
    return e;
}

static enum err read_record(const struct reader *whole, const struct rr *rr, enum dns_type type,
                            struct dns_record *out)
{
    struct reader r = {whole->p, rr->end, rr->data};
    enum err e = E_OK;

    *out = (struct dns_record){.port = 0};
    switch (type) {
    case DNS_A:
    case DNS_AAAA:
        return read_ip(&r, rr, out);
    case DNS_SRV:
        e = read_srv(&r, out);
        break;
    case DNS_NAPTR:
        e = read_naptr(&r, out);
        break;
    }
    return e == E_OK && r.at == r.n ? E_OK : FAIL(E_PARSE);
}

/* ---- the answer --------------------------------------------------------------------------------
 */
struct section {
    struct reader r;  /* at the first answer */
    unsigned answers; /* as the header says */
    unsigned rcode;
    uint16_t authority;
    char asked[DNS_NAME_MAX];
};

static enum err read_head(const uint8_t *p, size_t n, struct section *s)
{
    uint16_t id = 0, flags = 0, questions = 0, answers = 0, more = 0, type = 0, class = 0;
    enum err e = E_OK;

    s->r = (struct reader){p, n, 0};
    TRY(get_u16(&s->r, &id));
    TRY(get_u16(&s->r, &flags));
    TRY(get_u16(&s->r, &questions));
    TRY(get_u16(&s->r, &answers));
    TRY(get_u16(&s->r, &s->authority));
    TRY(get_u16(&s->r, &more));
    if ((flags & 0x8000) == 0 || questions != 1) {
        TRY(FAIL(E_PARSE));
    }
    s->rcode = flags & 0xf;
    s->answers = answers;
    TRY(get_name(&s->r, s->asked));
    TRY(get_u16(&s->r, &type));
    TRY(get_u16(&s->r, &class));
out:
    return e;
}

/* Records of `owner`, or the name that it stands for. */
static enum err take_records(const struct section *s, enum dns_type type, const char *owner,
                             struct dns_answer *a, char alias[DNS_NAME_MAX], uint32_t *alias_ttl)
{
    struct reader r = s->r;
    struct rr rr;
    enum err e = E_OK;

    alias[0] = 0;
    for (unsigned i = 0; i < s->answers && i < ANSWERS_MAX; i++) {
        TRY(get_rr(&r, &rr, true));
        if (rr.class != CLASS_IN || strcmp(rr.owner, owner) != 0) {
            continue;
        }
        if (rr.type == TYPE_CNAME) {
            struct reader c = {r.p, rr.end, rr.data};
            TRY(get_name(&c, alias));
            *alias_ttl = rr.ttl;
        } else if (rr.type == codes[type] && a->n < DNS_RECORDS_MAX &&
                   read_record(&s->r, &rr, type, &a->r[a->n]) == E_OK) {
            a->ttl_s = rr.ttl < a->ttl_s ? rr.ttl : a->ttl_s;
            a->n++;
        }
    }
out:
    return e;
}

/* RFC 2308 section 5: the SOA's own TTL or its minimum, whichever is less. */
static uint32_t negative_ttl(const struct section *s)
{
    struct reader r = s->r;
    struct rr rr;
    uint32_t minimum = 0;

    for (unsigned i = 0; i < s->answers + s->authority && i < ANSWERS_MAX; i++) {
        if (get_rr(&r, &rr, false) != E_OK) {
            break;
        }
        if (rr.type == TYPE_SOA && rr.class == CLASS_IN && rr.end - rr.data >= 22) {
            struct reader last = {r.p, rr.end, rr.end - 4};
            if (get_u32(&last, &minimum) == E_OK) {
                return minimum < rr.ttl ? minimum : rr.ttl;
            }
        }
    }
    return NEGATIVE_TTL;
}

static enum err follow(const struct section *s, enum dns_type type, struct dns_answer *a)
{
    char owner[DNS_NAME_MAX], alias[DNS_NAME_MAX];
    uint32_t ttl = 0;
    enum err e = E_OK;

    memcpy(owner, s->asked, sizeof owner);
    for (unsigned i = 0; i <= DNS_CNAMES_MAX; i++) {
        TRY(take_records(s, type, owner, a, alias, &ttl));
        if (a->n > 0 || alias[0] == 0) {
            if (a->n == 0 && i > 0) { /* the end of the chain is elsewhere, or has none */
                memcpy(a->alias, owner, sizeof a->alias);
            }
            return E_OK;
        }
        a->ttl_s = ttl < a->ttl_s ? ttl : a->ttl_s;
        memcpy(owner, alias, sizeof owner);
    }
    TRY(FAIL(E_PARSE)); /* they go round */
out:
    return e;
}

enum err dns_read(const uint8_t *p, size_t n, enum dns_type type, struct dns_answer *out)
{
    struct section s = {.answers = 0};
    struct dns_answer a = {.ttl_s = TTL_MAX};
    enum err e = read_head(p, n, &s);

    TRY(e);
    if (s.rcode != 0 && s.rcode != RCODE_NXDOMAIN) {
        TRY(FAIL(E_IO));
    }
    TRY(follow(&s, type, &a));
    if (a.n == 0 && (a.alias[0] == 0 || s.rcode == RCODE_NXDOMAIN || s.authority > 0)) {
        a.alias[0] = 0;
        a.ttl_s = negative_ttl(&s);
        *out = a;
        return E_NOTFOUND;
    }
    *out = a;
out:
    return e;
}

bool dns_name_ok(struct view name)
{
    size_t label = 0;

    if (name.n > 0 && name.p[name.n - 1] == '.') {
        name.n--;
    }
    if (name.n == 0 || name.n > 253) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_';
        if (c == '.' ? label == 0 : !plain || label == 63) {
            return false;
        }
        label = c == '.' ? 0 : label + 1;
    }
    return label > 0;
}
