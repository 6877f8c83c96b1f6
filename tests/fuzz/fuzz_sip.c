/* Everything that reads SIP octets: cutting, framing, second reading, URIs, edits and answers. The
 * first octet picks datagram or stream and which changes are made; the rest is the message. */
#include <stdlib.h>
#include <string.h>

#include "signaling/sip_edit.h"
#include "signaling/sip_osip.h"
#include "signaling/sip_uri.h"

static struct sip_msg msg, again;
static struct sip_edit edit;
static char out[3 * SIP_MAX_BYTES], plain[SIP_MAX_BYTES];

static void inside(struct view v, struct view raw)
{
    BUG_ON(v.n > 0 && (v.p < raw.p || v.p + v.n > raw.p + raw.n));
}

static void check_views(const struct sip_msg *m, struct view raw)
{
    inside(m->raw, raw);
    inside(m->head, raw);
    inside(m->body, raw);
    inside(m->method_text, raw);
    inside(m->uri, raw);
    inside(m->reason, raw);
    inside(m->call_id, raw);
    inside(m->from_tag, raw);
    inside(m->to_tag, raw);
    inside(m->via.first_value, raw);
    inside(m->via.host, raw);
    inside(m->via.branch, raw);
    inside(m->via.received, raw);
    for (unsigned i = 0; i < m->n_headers; i++) {
        inside(m->h[i].name, raw);
        inside(m->h[i].line, raw);
        inside(m->h[i].value, m->h[i].line);
    }
}

/* What is rendered from a good message is a good message. */
static void must_frame(size_t n)
{
    const char *why = NULL;
    enum err e = E_OK;

    if (n > SIP_MAX_BYTES) {
        return; /* the transport refuses to send it */
    }
    e = sip_frame(view_from(out, n), false, &again, &why);
    /* A limit of lines or list elements may be passed by adding to them; nothing else may go wrong.
     */
    BUG_ON(e != E_OK && e != E_RANGE);
}

static void uris(const struct sip_msg *m)
{
    char digits[64];

    for (unsigned i = 0; i < m->n_headers; i++) {
        struct sip_list l = sip_list_over(m->h[i].value);
        struct view element;
        while (sip_list_next(&l, &element)) {
            struct sip_name_addr a;
            inside(element, m->h[i].line);
            if (sip_name_addr_parse(element, &a) == E_OK && !a.is_star) {
                BUG_ON(!sip_uri_same(&a.uri, &a.uri));
                if (sip_uri_digits(&a.uri, digits, sizeof digits) == E_OK) {
                    BUG_ON(strlen(digits) >= sizeof digits);
                }
            }
        }
    }
}

static void edits(const struct sip_msg *m, unsigned pick)
{
    const struct sip_hdr *route = sip_header(m, SIP_H_ROUTE, 0);
    size_t n = 0;

    sip_edit_begin(&edit, m);
    if (m->is_request && (pick & 1) != 0) {
        sip_edit_uri(&edit, VIEW("sip:+12125551212@127.0.0.7:5080"));
    }
    if ((pick & 2) != 0 && route != NULL) {
        sip_edit_remove_top_value(&edit, route);
    }
    if ((pick & 4) != 0) {
        sip_edit_via_source(&edit, "127.0.0.9", 5099);
    }
    if ((pick & 8) != 0) {
        sip_edit_insert(&edit, SIP_H_VIA, "Via: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bKx");
    }
    if ((pick & 16) != 0) {
        sip_edit_remove_all(&edit, SIP_H_P_ASSERTED_IDENTITY);
        sip_edit_remove_all(&edit, SIP_H_OTHER);
    }
    if ((pick & 32) != 0) {
        sip_edit_body(&edit, VIEW("application/sdp"), VIEW("v=0\r\n"));
    }
    if (sip_edit_render(&edit, out, sizeof out, &n) == E_OK) {
        must_frame(n);
        BUG_ON((pick & 4) != 0 && (pick & 8) == 0 && n <= SIP_MAX_BYTES && again.n_headers > 0 &&
               !view_eq(again.via.received, VIEW("127.0.0.9")));
    } else {
        BUG_ON(edit.bad == E_OK); /* the buffer holds any message and our additions */
    }
}

static void answers(const struct sip_msg *m, bool framed)
{
    size_t n = 0;
    enum err e = sip_response(m, 400, NULL, VIEW("t"), "127.0.0.9", 5099, VIEW(""), VIEW(""),
                              VIEW(""), out, sizeof out, &n);

    BUG_ON((e == E_OK) != m->can_answer);
    if (e == E_OK && framed) {
        must_frame(n);
    }
    if (framed && m->method == SIP_M_INVITE && m->is_request) {
        BUG_ON(sip_cancel_for(m, "SIP;cause=200", out, sizeof out, &n) != E_OK);
        must_frame(n);
    }
}

static void cut(struct view raw)
{
    size_t skip = 0, bytes = 0;
    bool ping = false;
    const char *why = NULL;
    enum err e = sip_stream_cut(raw, &skip, &bytes, &ping);

    BUG_ON(skip > raw.n);
    if (e == E_OK) {
        struct view one = view_sub(raw, skip, bytes);
        BUG_ON(one.n != bytes || bytes > SIP_MAX_BYTES);
        IGNORE(sip_frame(one, false, &msg, &why), "only that it returns");
        check_views(&msg, one);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    BUG_ON(sip_osip_init() != E_OK);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = NULL;
    struct view raw;
    enum err e = E_OK;

    if (size < 1) {
        return 0;
    }
    raw = view_from(data + 1, size - 1);
    cut(raw);
    e = sip_frame(raw, (data[0] & 0x80) == 0, &msg, &why);
    BUG_ON(e != E_OK && (why == NULL || msg.refuse_status < 400));
    check_views(&msg, raw);
    answers(&msg, e == E_OK);
    if (e == E_OK && msg.is_odd) { /* what is well formed stays so when it becomes plain */
        e = sip_frame_plain(&msg, (data[0] & 0x80) == 0, plain, &msg);
        BUG_ON(e != E_OK || msg.is_odd);
    }
    if (e == E_OK) {
        uris(&msg);
        edits(&msg, data[0] & 0x3f);
        IGNORE(sip_osip_check(&msg, &why), "only that it returns");
    }
    return 0;
}
