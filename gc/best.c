/* The best response of a request that nobody answered with 2xx (RFC 3261 section 16.7, steps 4 to
 * 7): which one it is, what of the others goes with it, where a redirection may lead. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/divert.h"
#include "routing/snapshot.h"

/* ---- which -------------------------------------------------------------------------------------
 */
static bool is_known_by_password(const struct leg *l)
{
    const struct trunk *row = trunk_row(l->w, l->who.trunk);

    return row != NULL && row->auth_user.n > 0;
}

/* A phone's challenge asks the caller for credentials that are none of its business. A redirection
 * by a phone would send the caller elsewhere at the word of whoever holds that phone, and one by a
 * gateway that could not be followed leads nowhere that we know. */
unsigned best_status_of(const struct leg *l, unsigned status)
{
    if (l->is_timed_out) {
        return 408; /* its 487 only confirms our timer C */
    }
    if ((status == 401 || status == 407) && l->who.kind != PARTY_GATEWAY) {
        return 403;
    }
    if ((status == 401 || status == 407) && is_known_by_password(l)) {
        return 503; /* of no use to anybody but us: the next route */
    }
    return status >= 300 && status < 400 ? 480 : status;
}

static bool is_challenge(unsigned status)
{
    return status == 401 || status == 407;
}

/* Lower is better: 6xx, then the lowest class; within 4xx first those that the caller can act on,
 * last the one that says nothing. */
static unsigned rank_of(unsigned status)
{
    bool helps = is_challenge(status) || status == 415 || status == 420 || status == 484;

    return status >= 600 ? 0 : status / 100 * 4 + (helps ? 0 : status != 408 ? 1 : 2);
}

bool best_has_next_via(const struct sip_msg *m)
{
    unsigned n = 0;
    const struct sip_hdr *h = sip_header(m, SIP_H_VIA, 0);

    for (; h != NULL; h = sip_header(m, SIP_H_VIA, sip_header_index(m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        struct view one;
        while (sip_list_next(&l, &one)) {
            n++;
        }
    }
    return n > 1;
}

/* What does not fit is left out: the client then cannot answer that one, as if it knew it not. */
static void collect(struct ctx *c, const struct sip_msg *m)
{
    for (unsigned i = 0; i < m->n_headers; i++) {
        const struct sip_hdr *h = &m->h[i];
        if (h->id != SIP_H_WWW_AUTHENTICATE && h->id != SIP_H_PROXY_AUTHENTICATE) {
            continue;
        }
        if (c->more == NULL) {
            c->more = mem_zalloc(sizeof *c->more);
        }
        if (c->more == NULL || c->more->n == CHALLENGES_MAX) {
            return;
        }
        if (h->value.n < CHALLENGE_TEXT) {
            c->more->c[c->more->n].id = (enum sip_hdr_id)h->id;
            memcpy(c->more->c[c->more->n].value, h->value.p, h->value.n);
            c->more->c[c->more->n++].value[h->value.n] = 0;
        }
    }
}

void best_note(struct ctx *c, unsigned status, const struct sip_msg *m, const struct leg *l)
{
    char *copy = NULL;
    bool can_pass = m != NULL && m->status == status && best_has_next_via(m);

    divert_note(c, status);
    if (c->best_status != 0 && rank_of(status) >= rank_of(c->best_status)) {
        if (can_pass && is_challenge(status) && is_challenge(c->best_status)) {
            collect(c, m);
        }
        return;
    }
    if (can_pass) {
        copy = mem_zalloc(m->raw.n);
    }
    mem_free(c->best);
    c->best = copy;
    c->best_status = status;
    if (copy != NULL) {
        memcpy(copy, m->raw.p, m->raw.n);
        c->best_n = m->raw.n;
        c->best_from = l->who;
        c->best_flow = *sip_ctxn_flow(l->txn);
    }
}

void best_forget(struct ctx *c)
{
    mem_free(c->best);
    mem_free(c->more);
    c->best = NULL;
    c->more = NULL;
    c->best_status = 0;
}

/* ---- up ----------------------------------------------------------------------------------------
 */
void best_send(struct ctx *c)
{
    struct sip_msg m;
    const char *why = "";
    unsigned status = c->best_status != 0 ? c->best_status : 408;
    bool is_full = c->n_full > 0 && c->n_full == c->n_targets;
    bool is_service = c->is_provisioning || c->is_emergency || is_full;

    if (c->is_final) {
        return;
    }
    if (c->is_cancelled && (c->best == NULL || status == 408)) {
        ctx_refuse(c, 487, NULL, VIEW(""));
        return;
    }
    if (status == 503) { /* ours to say only when the service as a whole is out */
        ctx_refuse(c, is_service ? 503 : 500, NULL,
                   is_service ? VIEW("Retry-After: 5\r\n") : VIEW(""));
        return;
    }
    if (c->best != NULL && sip_frame(view_from(c->best, c->best_n), true, &m, &why) == E_OK &&
        ctx_pass_up(c, &m, &c->best_from, &c->best_flow) == E_OK) {
        ctx_settle(c, status);
        return;
    }
    ctx_refuse(c, status, NULL, VIEW(""));
}

/* ---- redirections ------------------------------------------------------------------------------
 */
/* The number that the call is for now: after the dial plan, and wherever the called line sent it.
 */
static const char *number_now(const struct ctx *c)
{
    const struct call_forward *f = c->call->forward;

    return f != NULL && f->routed[0] != 0 ? f->routed : c->call->routed;
}

/* A numeric address of a gateway that we know: nothing else can be reached at a stranger's word. Of
 * the contact its address counts; the number stays ours, as that gateway wants it, since parameters
 * like rn= (RFC 4694) would be another one at the next hop. */
static bool target_of_contact(struct ctx *c, const struct sip_name_addr *a, struct target *out)
{
    char called[ROUTE_NUMBER_MAX], host[NET_TEXT_MAX];
    const struct trunk *row = NULL;

    if (!route_to_gateway(c->w, &a->uri, out)) {
        return false;
    }
    row = trunk_row(c->w, out->who.trunk);
    if (row != NULL && row->disabled && !c->is_emergency) {
        return false;
    }
    net_text(&out->flow.remote, host);
    return route_called_for(row, &c->w->plan->dialplan, view_of(number_now(c)), called) &&
           number_uri(out->uri, called, host);
}

static bool is_known_target(const struct ctx *c, const struct target *t)
{
    for (unsigned i = 0; i < c->n_targets; i++) {
        if (c->target[i].flow.proto == t->flow.proto &&
            net_eq(&c->target[i].flow.remote, &t->flow.remote)) {
            return true;
        }
    }
    return false;
}

static bool is_same_number(const struct ctx *c, struct view contact)
{
    struct dialled d = dialled_of(c->w, contact);

    return (d.class == DIAL_SUBSCRIBER || d.class == DIAL_EMERGENCY) &&
           strcmp(d.e164, number_now(c)) == 0;
}

/* Only a gateway's word counts, only for the number that it was asked for, only to another gateway
 * that we know: whatever else the caller may not reach by itself, it does not reach this way
 * either. */
unsigned best_add_redirects(struct ctx *c, const struct leg *l, const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_header(m, SIP_H_CONTACT, 0);
    struct sip_name_addr a;
    unsigned n = 0;

    if (c->kind != CTX_SETUP || l->who.kind != PARTY_GATEWAY || c->is_cancelled || c->is_final) {
        return 0;
    }
    for (; h != NULL; h = sip_header(m, SIP_H_CONTACT, sip_header_index(m, h) + 1)) {
        struct sip_list list = sip_list_over(h->value);
        struct target t;
        struct view one;
        while (c->n_targets < TARGETS_MAX && sip_list_next(&list, &one)) {
            if (sip_name_addr_parse(one, &a) == E_OK && !a.is_star &&
                is_same_number(c, a.uri_text) && target_of_contact(c, &a, &t) &&
                !is_known_target(c, &t)) {
                c->target[c->n_targets++] = t;
                n++;
            }
        }
    }
    return n;
}
