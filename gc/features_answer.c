/* The gate as the user agent that answers a code (RFC 3261 section 13.3.1.4): 200 until the ACK
 * comes, then BYE. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/setup.h"
#include "signaling/sdp.h"

enum { T2_MS = 4000, SDP_ROOM = 2048 };

struct own_answer {
    struct loop_timer again;
    uint64_t wait_ms;
    size_t n;
    char octets[];
};

/* ---- media: none -------------------------------------------------------------------------------
 */
static bool is_sdp(const struct sip_msg *m)
{
    return view_starts_nocase(sip_header_value(m, SIP_H_CONTENT_TYPE), VIEW("application/sdp"));
}

bool own_can_answer(const struct sip_msg *m)
{
    const char *why = "";
    struct sdp offer;

    return m->body.n == 0 || (is_sdp(m) && sdp_parse(m->body, &offer, &why) == E_OK);
}

/* Port 9 discards; what is no plain RTP is refused, since it would need keys or a connection. */
static void add_media(struct sip_text *t, const struct sdp_media *m)
{
    bool is_plain =
        m->port != 0 && (view_eq(m->proto, VIEW("RTP/AVP")) || view_eq(m->proto, VIEW("RTP/AVPF")));

    sip_text_add(t, "m=%.*s %u %.*s", (int)m->kind.n, m->kind.p, is_plain ? 9 : 0, (int)m->proto.n,
                 m->proto.p);
    for (unsigned i = 0; i < m->n_formats; i++) {
        sip_text_add(t, " %.*s", (int)m->format[i].n, m->format[i].p);
    }
    sip_text_add(t, "\r\na=inactive\r\n");
}

static void write_sdp(const struct ctx *c, const struct sip_msg *m, struct sip_text *t)
{
    struct net_addr own = worker_address(c->w, &c->from_flow);
    const char *why = "", *family = own.family == 6 ? "IP6" : "IP4";
    char ip[NET_TEXT_MAX];
    struct sdp offer;

    net_ip_text(&own, ip);
    sip_text_add(t, "v=0\r\no=- %u 1 IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\n",
                 (unsigned)(c->call->number & INT32_MAX), family, ip, family, ip);
    if (m->body.n == 0) {
        sip_text_add(t, "m=audio 9 RTP/AVP 0\r\na=inactive\r\n");
        return;
    }
    t->bad = t->bad || sdp_parse(m->body, &offer, &why) != E_OK;
    for (unsigned i = 0; !t->bad && i < offer.n_media; i++) {
        add_media(t, &offer.media[i]);
    }
}

/* ---- 200 ---------------------------------------------------------------------------------------
 */
static void on_again(void *arg)
{
    struct call *call = arg;
    struct own_answer *a = call->own;
    struct ctx *c = call->setup;

    if (c == NULL || c->stxn == NULL) {
        return; /* call_arm()'s deadline for the ACK ends the call */
    }
    IGNORE(sip_stxn_respond(c->stxn, 200, view_from(a->octets, a->n)), "it is sent again");
    a->wait_ms = a->wait_ms * 2 < T2_MS ? a->wait_ms * 2 : T2_MS;
    IGNORE(loop_timer_start(c->w->loop, &a->again, a->wait_ms, on_again, call),
           "the heap has room: this timer was in it");
}

/* Into w->out, sealed; 0: it cannot be made. */
static size_t write_answer(struct ctx *c, const struct sip_msg *m, const char *tag)
{
    struct worker *w = c->w;
    char sdp[SDP_ROOM], extra[LOCATION_URI_MAX + 64], contact[LOCATION_URI_MAX], ip[NET_TEXT_MAX];
    struct sip_text t = {.p = sdp, .max = sizeof sdp};
    size_t n = 0;

    write_sdp(c, m, &t);
    names_contact(w, c->call, &c->from_flow, view_starts_nocase(m->uri, VIEW("sips:")), contact);
    snprintf(extra, sizeof extra, "Contact: <%s>\r\nAllow: INVITE, ACK, BYE, CANCEL\r\n", contact);
    net_ip_text(&c->from_flow.remote, ip);
    if (t.bad ||
        sip_response(m, 200, NULL, view_of(tag), ip, c->from_flow.remote.port, view_of(extra),
                     VIEW("application/sdp"), view_from(sdp, t.n), w->out,
                     sizeof w->out - SEAL_ROOM, &n) != E_OK ||
        seal_any(w, &c->from, w->out, sizeof w->out, &n) != E_OK) {
        return 0;
    }
    return n;
}

static bool keep(struct call *call, size_t n)
{
    struct worker *w = call->w;
    struct own_answer *a = mem_zalloc(sizeof *a + n);

    if (a == NULL) {
        return false;
    }
    memcpy(a->octets, w->out, n);
    a->n = n;
    a->wait_ms = w->set->t1_ms;
    call->own = a;
    if (loop_timer_start(w->loop, &a->again, a->wait_ms, on_again, call) != E_OK) {
        own_forget(call);
        return false;
    }
    return true;
}

void own_answer(struct ctx *c)
{
    struct dialog *d = NULL;
    struct sip_msg m;
    char tag[TAG_MAX];
    size_t n = 0;

    snprintf(tag, sizeof tag, "gf%016llx",
             (unsigned long long)worker_hash(c->w, view_of(c->call->id)));
    if (ctx_reframe(c, &m) == E_OK) {
        n = write_answer(c, &m, tag);
        d = n > 0 ? call_dialog_own(c->call, view_of(tag), &m) : NULL;
    }
    if (d == NULL || !keep(c->call, n)) {
        ctx_refuse(c, 500, NULL, VIEW(""));
        return;
    }
    call_answered(c->call, d);
    ctx_answer(c, n);
}

/* ---- afterwards --------------------------------------------------------------------------------
 */
void own_acked(struct call *call)
{
    call_terminate(call, "gate", NULL);
}

void own_request_in(struct worker *w, const struct inbound *in, struct call *call)
{
    if (in->m->method != SIP_M_BYE) {
        answer(w, in, in->m->method == SIP_M_INVITE || in->m->method == SIP_M_UPDATE ? 488 : 405,
               NULL, VIEW("Allow: INVITE, ACK, BYE, CANCEL\r\n"));
        return;
    }
    answer(w, in, 200, NULL, VIEW(""));
    call_end(call, 200, "caller");
}

void own_forget(struct call *call)
{
    if (call->own != NULL) {
        loop_timer_stop(call->w->loop, &call->own->again);
        mem_free(call->own);
        call->own = NULL;
    }
}
