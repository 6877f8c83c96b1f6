/* The MAC on messages. */
#include "bti/mac.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum err session_new(const uint8_t kid[BTI_KID_BYTES], const struct session_keys *keys,
                     struct session **out)
{
    struct session *s = secret_alloc(sizeof *s);
    enum err e = s != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    memcpy(s->kid, kid, BTI_KID_BYTES);
    s->keys = *keys;
    s->next_seq = 1;
    TRY(hmac_key_new(&keys->mac_up, &s->up));
    TRY(hmac_key_new(&keys->mac_down, &s->down));
    *out = s;
    s = NULL;
out:
    session_free(s);
    return e;
}

void session_free(struct session *s)
{
    if (s != NULL) {
        hmac_key_free(s->up);
        hmac_key_free(s->down);
        secret_release(s, sizeof *s);
    }
}

static enum sip_hdr_id sent_header(const struct sip_msg *m)
{
    if (!m->is_request) {
        return SIP_H_AUTHENTICATION_INFO;
    }
    return m->method == SIP_M_REGISTER ? SIP_H_AUTHORIZATION : SIP_H_PROXY_AUTHORIZATION;
}

static const char *header_name(enum sip_hdr_id id)
{
    return id == SIP_H_AUTHENTICATION_INFO ? "Authentication-Info"
           : id == SIP_H_AUTHORIZATION     ? "Authorization"
                                           : "Proxy-Authorization";
}

/* How many headers of `id` are of our scheme; *out: the last of them. */
static unsigned find(const struct sip_msg *m, enum sip_hdr_id id, struct view *out)
{
    const struct sip_hdr *h = NULL;
    unsigned n = 0;

    for (unsigned i = 0; (h = sip_header(m, id, i)) != NULL; i = sip_header_index(m, h) + 1) {
        if (id == SIP_H_AUTHENTICATION_INFO || bti_mac_is(h->value)) {
            *out = h->value;
            n++;
        }
    }
    return n;
}

enum err mac_seal(struct session *s, char *buf, size_t max, size_t *n)
{
    struct sip_msg *m = mem_zalloc(sizeof *m);
    char value[BTI_MAC_VALUE_MAX], line[BTI_MAC_VALUE_MAX + 32];
    const char *why = "";
    struct view had;
    enum sip_hdr_id id = SIP_H_OTHER;
    size_t at = 0, added = 0;
    enum err e = m != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(sip_frame(view_from(buf, *n), false, m, &why));
    id = sent_header(m);
    if (find(m, id, &had) != 0) {
        TRY(FAIL(E_EXISTS));
    }
    bti_mac_format(m->is_request, s->kid, s->next_seq, value);
    added = (size_t)snprintf(line, sizeof line, "%s: %s\r\n", header_name(id), value);
    BUG_ON(added >= sizeof line);
    if (added > max - *n) {
        TRY(FAIL(E_RANGE));
    }
    at = m->head.n - 2; /* before the empty line */
    memmove(buf + at + added, buf + at, *n - at);
    memcpy(buf + at, line, added);
    TRY(bti_mac_fill(s->up, buf, *n + added, at + added - 2 - BTI_MAC_DIGITS));
    *n += added;
    s->next_seq++;
out:
    mem_free(m);
    return e;
}

enum err mac_check(struct session *s, const struct sip_msg *m, bool *out_repeat)
{
    enum sip_hdr_id id = m->is_request ? SIP_H_AUTHORIZATION : SIP_H_AUTHENTICATION_INFO;
    struct bti_mac mac;
    struct view value = {0};
    unsigned n = find(m, id, &value);
    enum replay_verdict seen = REPLAY_FRESH;
    enum err e = E_OK;

    if (n != 1) {
        return FAIL(n == 0 ? E_NOTFOUND : E_PARSE);
    }
    TRY(bti_mac_parse(value, m->is_request, &mac));
    if (!bytes_eq(mac.kid, s->kid, BTI_KID_BYTES)) {
        TRY(FAIL(E_DENIED));
    }
    TRY(bti_mac_verify(s->down, m->raw, mac.digits));
    seen = replay_check(&s->seen, mac.seq);
    if (seen == REPLAY_TOO_OLD) {
        TRY(FAIL(E_REPLAY));
    }
    if (seen == REPLAY_FRESH) {
        replay_mark(&s->seen, mac.seq);
    }
    *out_repeat = seen == REPLAY_SEEN;
out:
    return e;
}
