/* tests/scenario/wild.h - what torture.c and smuggling.c share: messages as files and as octets,
 * and what may come of one: an answer, the message at the far side, or silence. */
#ifndef TESTS_SCENARIO_WILD_H
#define TESTS_SCENARIO_WILD_H

#include "tests/scenario/bench.h"

#define GATEWAY  "127.0.9.8:5060"
#define STRANGER "127.0.9.66:5060"

enum whom { AS_STRANGER, AS_GATEWAY };

static inline struct sip_flow flow_of(enum whom who)
{
    return udp(who == AS_GATEWAY ? GATEWAY : STRANGER);
}

/* Every place where `what` stands. */
static inline size_t exchange(char *text, size_t n, const char *what, const char *with)
{
    size_t a = strlen(what), b = strlen(with);
    for (char *p = memmem(text, n, what, a); p != NULL;
         p = memmem(p + b, n - (size_t)(p + b - text), what, a)) {
        size_t behind = n - (size_t)(p + a - text);
        assert_true(n + b < TEXT_MAX);
        memmove(p + b, p + a, behind + 1);
        memcpy(p, with, b);
        n = n - a + b;
    }
    return n;
}

/* The archive of RFC 5118 has bare LFs, in bodies too, and two heads without their empty line. */
static inline size_t restore_lines(char *text, size_t n)
{
    char body[TEXT_MAX];
    char *end = strstr(text, "\n\n");
    size_t head_n = end != NULL ? (size_t)(end + 2 - text) : n, body_n = n - head_n;
    memcpy(body, text + head_n, body_n);
    text[head_n] = 0;
    head_n = exchange(text, head_n, "\n", "\r\n");
    if (end == NULL) {
        memcpy(text + head_n, "\r\n", 3);
        head_n += 2;
    }
    assert_true(head_n + body_n < TEXT_MAX);
    memcpy(text + head_n, body, body_n);
    text[head_n + body_n] = 0;
    return head_n + body_n;
}

static inline size_t load_file(const char *folder, const char *name, char out[TEXT_MAX])
{
    char path[128];
    FILE *f = NULL;
    size_t n = 0;
    snprintf(path, sizeof path, "tests/data/%s/%s.dat", folder, name);
    f = fopen(path, "rb");
    if (f == NULL) {
        fail_msg("%s cannot be read (the tests run in the top folder)", path);
    }
    n = fread(out, 1, TEXT_MAX - 1, f);
    fclose(f);
    assert_true(n > 0 && n < TEXT_MAX - 1);
    out[n] = 0;
    if (strcmp(folder, "rfc5118") == 0) {
        n = restore_lines(out, n);
    } else if (strcmp(name, "baddn") == 0) {
        n = exchange(out, n, "l: 0\r\n", "l: 0\r\n\r\n"); /* as it is printed */
    }
    return n;
}

/* The Request-URI exchanged for `uri`; every other octet as it was. */
static inline size_t retarget(char *text, size_t n, const char *uri)
{
    char *line = memmem(text, n, "\r\n", 2), *from = memchr(text, ' ', n), *to = NULL;
    size_t k = strlen(uri);
    assert_true(line != NULL && from != NULL && from < line);
    for (to = line; to > from && *to != ' '; to--) {
    }
    from++;
    assert_true(to > from && n + k < TEXT_MAX);
    memmove(from + k, to, n - (size_t)(to - text) + 1);
    memcpy(from, uri, k);
    return n + k - (size_t)(to - from);
}

/* ---- what came of it ---------------------------------------------------------------------------
 */
/* The final answer (100 does not count) to whoever sent it; 0: none. */
static inline unsigned answer_to(struct bench *b, const struct net_addr *to, char reason[128],
                                 struct got *out)
{
    unsigned status = 0;
    reason[0] = 0;
    while (find_sent(b, to, "SIP/2.0 ") != NULL && take(b, to, "SIP/2.0 ", out)) {
        if (out->m.status >= 200) {
            status = out->m.status;
            snprintf(reason, 128, "%.*s", (int)out->m.reason.n, out->m.reason.p);
        }
    }
    return status;
}

/* An answer to nonsense repeats some of it: only its lines are looked at. */
static inline unsigned raw_answer_to(struct bench *b, const struct net_addr *to, char reason[128])
{
    reason[0] = 0;
    for (unsigned i = 0; i < b->n_sent; i++) {
        struct sent *s = &b->sent[i];
        const char *eol = memmem(s->octets, s->n, "\r\n", 2);
        if (s->taken || !net_eq(&s->to.remote, to) ||
            !view_starts(view_from(s->octets, s->n), VIEW("SIP/2.0 ")) || s->octets[8] == '1') {
            continue;
        }
        assert_true(eol != NULL && eol - s->octets > 12);
        snprintf(reason, 128, "%.*s", (int)(eol - s->octets) - 12, s->octets + 12);
        s->taken = true;
        return (unsigned)(s->octets[8] - '0') * 100 + (unsigned)(s->octets[9] - '0') * 10 +
               (unsigned)(s->octets[10] - '0');
    }
    return 0;
}

/* Nothing left us whose head could end or begin elsewhere for another reader. */
static inline void check_octets(const struct sent *s)
{
    const char *end = memmem(s->octets, s->n, "\r\n\r\n", 4);
    assert_non_null(end);
    for (const char *p = s->octets; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        bool is_crlf = (c == '\r' && p[1] == '\n') || (c == '\n' && p > s->octets && p[-1] == '\r');
        if ((c < 0x20 && c != '\t' && !is_crlf) || c == 0x7f) {
            fail_msg("control octet %02x in what was sent: %s", c, s->octets);
        }
        if (is_crlf && c == '\n' && (p[1] == ' ' || p[1] == '\t')) {
            fail_msg("a fold in what was sent: %s", s->octets);
        }
    }
}

/* The request that reached the far side; two readers must agree about it. False: nothing did. */
static inline bool arrived(struct bench *b, const struct phone *p, struct got *out)
{
    const char *why = "";
    for (unsigned i = 0; i < b->n_sent; i++) {
        struct sent *s = &b->sent[i];
        check_octets(s);
        if (s->taken || !net_eq(&s->to.remote, &p->flow.remote) ||
            view_starts(view_from(s->octets, s->n), VIEW("SIP/2.0 "))) {
            continue;
        }
        s->taken = true;
        memcpy(out->octets, s->octets, s->n);
        if (sip_frame(view_from(out->octets, s->n), true, &out->m, &why) != E_OK ||
            sip_osip_check(&out->m, &why) != E_OK) {
            fail_msg("what arrived is read in two ways: %s: %s", why, out->octets);
        }
        assert_false(out->m.is_odd);
        return true;
    }
    return false;
}

static inline bool has_line(const struct sip_msg *m, struct view line)
{
    for (unsigned i = 0; i < m->n_headers; i++) {
        if (view_eq(m->h[i].line, line)) {
            return true;
        }
    }
    return false;
}

#endif
