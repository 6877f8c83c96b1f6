/* The names that a message carries away: From, To, Contact and identities, the same for the whole
 * life of a dialog, whoever of the two ends speaks. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/context.h"
#include "gc/identity.h"

static const char *in_brackets(const char *uri, char room[LOCATION_URI_MAX + 4])
{
    snprintf(room, LOCATION_URI_MAX + 4, "<%s>", uri);
    return room;
}

void names_contact(struct worker *w, const struct call *call, const struct sip_flow *to,
                   bool is_sips, char out[LOCATION_URI_MAX])
{
    struct net_addr own = worker_address(w, to);
    char text[NET_TEXT_MAX];

    net_text(&own, text);
    snprintf(out, LOCATION_URI_MAX, "%s:%s@%s%s", is_sips ? "sips" : "sip",
             call != NULL ? call->id : "anonymous", text,
             is_sips || to->proto == SIP_UDP ? ""
             : to->proto == SIP_TCP          ? ";transport=tcp"
                                             : ";transport=tls");
}

static bool is_sips(const struct sip_msg *m)
{
    return view_starts_nocase(m->uri, VIEW("sips:"));
}

/* Without memory the dialog cannot be kept true to its names: it is shown none. */
static void remember(struct call *call, const struct identity *id, enum naming *naming)
{
    if (call == NULL) {
        return;
    }
    if (*naming == NAMED_SHOWN && call->shown == NULL) {
        call->shown = mem_strdup(id->asserted);
        *naming = call->shown == NULL ? NAMED_ANONYMOUS : *naming;
    }
    call->naming = *naming;
}

static enum naming begin_with(struct ctx *c, const struct target *t, struct names *n,
                              struct forwarding *f)
{
    const struct identity *id = &c->id;
    enum naming naming = identity_naming(c->w, id, &t->who);
    bool may_see = identity_may_see(c->w, id, &t->who);

    remember(c->call, id, &naming);
    f->from_addr =
        naming == NAMED_ANONYMOUS ? identity_anonymous : identity_shown(c->w, id, &t->who, n->from);
    f->to_addr = c->call != NULL && !id->keeps_names ? c->call->to_shown : NULL;
    identity_asserted(id, &t->who, n->asserted);
    f->asserted = may_see ? n->asserted : NULL;
    f->shows_none = !may_see;
    f->is_private = id->is_private && !id->keeps_names;
    if (naming == NAMED_ANONYMOUS) {
        names_contact(c->w, c->call, &t->flow, is_sips(f->m), n->contact);
        f->contact = n->contact;
    }
    return naming;
}

const char *names_of_caller(struct worker *w, const struct call *call, enum naming naming,
                            const struct party *callee, char room[ASSERTED_MAX])
{
    switch (naming) {
    case NAMED_ANONYMOUS:
        return identity_anonymous;
    case NAMED_SHOWN:
        BUG_ON(call->shown == NULL);
        trunk_present(w, trunk_row(w, callee->trunk), call->shown, room);
        return room;
    case NAMED_AS_SENT:
        break;
    }
    return NULL;
}

static void from_callee(struct worker *w, const struct call *call, const struct dialog *d,
                        struct names *n, struct forwarding *f)
{
    if ((is_line(&d->callee.who) || call->to_shown != NULL) && call->to_uri[0] != 0) {
        snprintf(n->from, sizeof n->from, "<%.*s>", (int)sizeof n->from - 3, call->to_uri);
        f->from_addr = n->from;
    }
    if (d->naming != NAMED_AS_SENT && call->caller.uri[0] != 0) {
        f->to_addr = in_brackets(call->caller.uri, n->to);
    }
    if (call->hides_callee) {
        names_contact(w, call, &f->to->flow, is_sips(f->m), n->contact);
        f->contact = n->contact;
    }
}

void names_inside(struct worker *w, const struct call *call, const struct dialog *d,
                  bool from_caller, struct names *n, struct forwarding *f)
{
    if (call->is_emergency) {
        return;
    }
    if (!from_caller) {
        from_callee(w, call, d, n, f);
        return;
    }
    f->from_addr = names_of_caller(w, call, d->naming, &d->callee.who, n->from);
    f->to_addr = call->to_shown;
    if (d->naming == NAMED_ANONYMOUS) {
        f->shows_none = is_line(&d->callee.who);
        f->is_private = call->is_private;
        names_contact(w, call, &f->to->flow, is_sips(f->m), n->contact);
        f->contact = n->contact;
    }
}

void names_put(struct ctx *c, struct leg *l, struct names *n, struct forwarding *f)
{
    const struct dialog *d = NULL;

    if (c->kind != CTX_DIALOG) {
        l->naming = begin_with(c, f->to, n, f);
        return;
    }
    d = ctx_dialog(c);
    if (d != NULL) {
        l->naming = d->naming;
        names_inside(c->w, c->call, d, c->from_caller, n, f);
    }
}

enum err names_keep(struct ctx *c, const struct forwarding *f)
{
    struct view from = sip_header_value(f->m, SIP_H_FROM), to = sip_header_value(f->m, SIP_H_TO);

    if (c->names != NULL || (f->from_addr == NULL && f->to_addr == NULL)) {
        return E_OK;
    }
    c->names = mem_zalloc(from.n + to.n + 2);
    if (c->names == NULL) {
        return FAIL(E_NOMEM);
    }
    memcpy(c->names, from.p, from.n);
    memcpy(c->names + from.n + 1, to.p, to.n);
    c->had_to_tag = f->m->to_tag.n > 0;
    return E_OK;
}

const struct sip_msg *names_up(const struct ctx *c, struct sip_msg *room)
{
    if (c->names == NULL) {
        return NULL;
    }
    room->n_headers = 2;
    room->to_tag = c->had_to_tag ? VIEW("is there") : VIEW("");
    room->h[0] = (struct sip_hdr){.id = SIP_H_FROM, .value = view_of(c->names)};
    room->h[1] =
        (struct sip_hdr){.id = SIP_H_TO, .value = view_of(c->names + strlen(c->names) + 1)};
    return room;
}

const char *names_of_answer(const struct ctx *c, const struct sip_msg *m, const struct party *from,
                            char room[ASSERTED_MAX])
{
    if (c->from.kind != PARTY_GATEWAY || c->method != SIP_M_INVITE || m->status >= 300 ||
        c->call == NULL || c->call->hides_callee || c->is_emergency ||
        (c->kind == CTX_DIALOG && !c->from_caller)) {
        return NULL;
    }
    identity_of_answer(c->w, from, &c->from, room);
    return room;
}

const char *names_contact_up(const struct ctx *c, const struct sip_msg *m,
                             char room[LOCATION_URI_MAX])
{
    bool is_of_callee = c->kind == CTX_SETUP || (c->kind == CTX_DIALOG && c->from_caller);
    const struct dialog *d = c->kind == CTX_DIALOG && !c->from_caller ? ctx_dialog(c) : NULL;
    bool hides = is_of_callee ? c->call->hides_callee : d != NULL && d->naming == NAMED_ANONYMOUS;

    if (!hides || m->status / 100 == 3 || sip_header(m, SIP_H_CONTACT, 0) == NULL) {
        return NULL;
    }
    names_contact(c->w, c->call, &c->from_flow, false, room);
    return room;
}
