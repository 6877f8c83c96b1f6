/* New messages made from others: responses, hop-by-hop ACK, CANCEL. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "signaling/sip_edit.h"
#include "signaling/sip_uri.h"

void sip_text_add(struct sip_text *t, const char *fmt, ...)
{
    va_list ap;
    int n = 0;

    if (t->bad) {
        return;
    }
    va_start(ap, fmt);
    n = vsnprintf(t->p + t->n, t->max - t->n, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= t->max - t->n) {
        t->bad = true;
        return;
    }
    t->n += (size_t)n;
}

void sip_text_view(struct sip_text *t, struct view v)
{
    if (t->bad || v.n > t->max - t->n) {
        t->bad = true;
        return;
    }
    if (v.n > 0) {
        memcpy(t->p + t->n, v.p, v.n);
        t->n += v.n;
    }
}

/* What was copied may have come folded, or hold what made us refuse it: it leaves plain. */
static enum err finish(const struct sip_text *t, size_t body_n, size_t *out_n)
{
    if (t->bad) {
        return FAIL(E_RANGE);
    }
    sip_plain(t->p, t->n - body_n);
    *out_n = t->n;
    return E_OK;
}

static void copy_header(struct sip_text *t, const struct sip_msg *m, enum sip_hdr_id id)
{
    for (const struct sip_hdr *h = sip_header(m, id, 0); h != NULL;
         h = sip_header(m, id, sip_header_index(m, h) + 1)) {
        sip_text_view(t, h->line);
    }
}

/* The topmost Via line, its received= and rport= as the socket says. */
static void top_via(struct sip_text *t, const struct sip_msg *m, const char *ip, uint16_t port)
{
    struct view value = m->via.first_value, param;
    const struct sip_hdr *h = sip_header(m, SIP_H_VIA, 0);
    const char *behind = value.p + value.n;
    size_t at = 0, done = 0;

    sip_text_view(t, view_from(h->line.p, (size_t)(value.p - h->line.p)));
    while (sip_via_source_param(value, &at, &param)) {
        size_t begin = (size_t)(param.p - value.p);
        sip_text_view(t, view_sub(value, done, begin - done));
        done = begin + param.n;
    }
    sip_text_view(t, view_sub(value, done, value.n));
    sip_text_add(t, ";received=%s", ip);
    if (m->via.has_rport) {
        sip_text_add(t, ";rport=%u", port);
    }
    sip_text_view(t, view_from(behind, (size_t)(h->line.p + h->line.n - behind)));
}

static void copy_vias(struct sip_text *t, const struct sip_msg *m, const char *ip, uint16_t port)
{
    bool is_top = true;

    for (const struct sip_hdr *h = sip_header(m, SIP_H_VIA, 0); h != NULL;
         h = sip_header(m, SIP_H_VIA, sip_header_index(m, h) + 1)) {
        if (is_top && ip != NULL && m->via.first_value.n > 0) { /* a bad one stays as it is */
            top_via(t, m, ip, port);
        } else {
            sip_text_view(t, h->line);
        }
        is_top = false;
    }
}

/* A refused message's To goes back as it came: a tag would land in the middle of its nonsense. */
static bool is_well_formed(struct view to)
{
    struct sip_name_addr a;

    return sip_name_addr_parse(to, &a) != E_PARSE;
}

enum err sip_response(const struct sip_msg *m, unsigned status, const char *reason_or_null,
                      struct view to_tag, const char *source_ip, uint16_t source_port,
                      struct view extra, struct view content_type, struct view body, char *dst,
                      size_t dst_bytes, size_t *out_n)
{
    struct sip_text t = {dst, 0, dst_bytes, false};
    const struct sip_hdr *stamp = sip_header_named(m, VIEW("Timestamp"));
    struct view to = sip_header_value(m, SIP_H_TO);

    BUG_ON(status < 100 || status > 699);
    BUG_ON(extra.n > 0 && (extra.n < 2 || memcmp(extra.p + extra.n - 2, "\r\n", 2) != 0));
    BUG_ON(body.n > 0 && content_type.n == 0);
    if (!m->can_answer) {
        return FAIL(E_STATE);
    }
    sip_text_add(&t, "SIP/2.0 %u %s\r\n", status,
                 reason_or_null != NULL ? reason_or_null : sip_reason(status));
    copy_vias(&t, m, source_ip, source_port);
    if (status > 100 && status < 300) {
        copy_header(&t, m, SIP_H_RECORD_ROUTE);
    }
    copy_header(&t, m, SIP_H_FROM);
    if (to_tag.n > 0 && m->to_tag.n == 0 && status > 100 && is_well_formed(to)) {
        sip_text_add(&t, "To: ");
        sip_text_view(&t, to);
        sip_text_add(&t, ";tag=");
        sip_text_view(&t, to_tag);
        sip_text_add(&t, "\r\n");
    } else {
        copy_header(&t, m, SIP_H_TO);
    }
    copy_header(&t, m, SIP_H_CALL_ID);
    copy_header(&t, m, SIP_H_CSEQ);
    if (status == 100 && stamp != NULL) { /* RFC 3261 section 8.2.6.1 */
        sip_text_view(&t, stamp->line);
    }
    sip_text_view(&t, extra);
    if (body.n > 0) {
        sip_text_add(&t, "Content-Type: ");
        sip_text_view(&t, content_type);
        sip_text_add(&t, "\r\n");
    }
    sip_text_add(&t, "Content-Length: %zu\r\n\r\n", body.n);
    sip_text_view(&t, body);
    return finish(&t, body.n, out_n);
}

/* What ACK and CANCEL share: the request's own URI, top Via, routes, From, Call-ID and number. */
static void like_request(struct sip_text *t, const struct sip_msg *invite, const char *method,
                         const struct sip_msg *to_from)
{
    sip_text_add(t, "%s ", method);
    sip_text_view(t, invite->uri);
    sip_text_add(t, " SIP/2.0\r\nVia: ");
    sip_text_view(t, invite->via.first_value);
    sip_text_add(t, "\r\nMax-Forwards: 70\r\n");
    copy_header(t, invite, SIP_H_ROUTE);
    copy_header(t, invite, SIP_H_FROM);
    copy_header(t, to_from, SIP_H_TO);
    copy_header(t, invite, SIP_H_CALL_ID);
    sip_text_add(t, "CSeq: %u %s\r\n", invite->cseq, method);
}

enum err sip_ack_for(const struct sip_msg *invite_sent, const struct sip_msg *response, char *dst,
                     size_t dst_bytes, size_t *out_n)
{
    struct sip_text t = {dst, 0, dst_bytes, false};

    BUG_ON(!invite_sent->is_request || response->is_request);
    like_request(&t, invite_sent, "ACK", response);
    sip_text_add(&t, "Content-Length: 0\r\n\r\n");
    return finish(&t, 0, out_n);
}

enum err sip_cancel_for(const struct sip_msg *invite_sent, const char *reason_header_or_null,
                        char *dst, size_t dst_bytes, size_t *out_n)
{
    struct sip_text t = {dst, 0, dst_bytes, false};

    BUG_ON(!invite_sent->is_request);
    like_request(&t, invite_sent, "CANCEL", invite_sent);
    if (reason_header_or_null != NULL) {
        sip_text_add(&t, "Reason: %s\r\n", reason_header_or_null);
    }
    sip_text_add(&t, "Content-Length: 0\r\n\r\n");
    return finish(&t, 0, out_n);
}
