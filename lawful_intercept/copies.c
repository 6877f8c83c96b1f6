/* The subject's SIP for X2, and what is told of requests outside of calls. Within a call its
 * direction decides which orders have it; outside, that of the transaction: a request of the
 * subject and the answer to it are as a call that it makes. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lawful_intercept/calls_int.h"

/* ---- copies ------------------------------------------------------------------------------------
 */
struct copy { /* of one message, for as many orders as want it */
    const struct tap_record *r;
    const struct li_message *m;
    uint64_t correlation;
    char *bare; /* without content; NULL: nobody needed it yet */
    size_t bare_n;
};

static void give(struct li_calls *c, const struct li_order *o, struct copy *copy)
{
    enum li_direction direction = copy->r->kind == TAP_MESSAGE_IN ? LI_FROM_SUBJECT : LI_TO_SUBJECT;
    struct view octets = copy->r->text[1];

    if (c->silent) {
        return;
    }
    if (o->type != LI_CONTENT) {
        size_t room = copy->m->head.n + copy->m->body.n + LI_BARE_MORE;
        if (copy->bare == NULL) {
            copy->bare = mem_zalloc(room);
            if (copy->bare == NULL ||
                li_message_without_content(copy->m, copy->bare, room, &copy->bare_n) != E_OK) {
                mem_free(copy->bare);
                copy->bare = NULL;
                return;
            }
        }
        octets = view_from(copy->bare, copy->bare_n);
    }
    c->cfg.sink.signaling(c->cfg.sink.arg, o, direction, copy->correlation, copy->r, octets);
}

/* The message is the subject's own: of its side, and of it rather than of whom the call went on to,
 * or came from, on that side. */
static bool is_subjects(const struct li_call *call, const struct li_leg *leg,
                        const struct tap_record *r, enum li_side side)
{
    if (leg->role == LI_TRANSFERRED || li_side_of(leg) != side || leg->line != r->line) {
        return false;
    }
    return leg->line != 0 || leg->trunk == r->trunk ||
           (!leg->is_away && li_is_party(call, side, r));
}

void li_copy_of_call(struct li_calls *c, const struct li_call *call, const struct tap_record *r,
                     const struct li_message *m, enum li_side side)
{
    struct copy copy = {.r = r, .m = m, .correlation = call->reference};

    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_order *o = li_order_of(c, &call->leg[i]);
        if (o != NULL && is_subjects(call, &call->leg[i], r, side)) {
            give(c, o, &copy);
        }
    }
    mem_free(copy.bare);
}

/* ---- outside of calls --------------------------------------------------------------------------
 */
/* Whose call it is is not known: its beginning was overwritten before it was read. */
static bool is_of_lost_call(const struct tap_record *r, const struct li_message *m)
{
    static const char *const all[] = {"INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO"};

    for (size_t i = 0; r->text[0].n > 0 && i < sizeof all / sizeof all[0]; i++) {
        if (view_eq(m->method, view_of(all[i]))) {
            return true;
        }
    }
    return false;
}

static bool has(const struct li_order *o, const struct tap_record *r, const struct li_message *m)
{
    bool from_subject = (r->kind == TAP_MESSAGE_IN) == m->is_request;

    if (is_of_lost_call(r, m)) {
        return li_covers(o, LI_ORIGINATES) && li_covers(o, LI_TERMINATES);
    }
    return li_covers(o, from_subject ? LI_ORIGINATES : LI_TERMINATES);
}

void li_copy_other(struct li_calls *c, const struct tap_record *r, const struct li_message *m)
{
    struct li_side_state who = {.line = r->line};
    struct copy copy = {.r = r, .m = m};
    struct li_match match = li_match_begin(c, &who);

    if (r->line == 0) {
        return;
    }
    for (const struct li_order *o = li_match_next(c, &match); o != NULL;
         o = li_match_next(c, &match)) {
        if (li_order_runs(o, c->now_us) && has(o, r, m)) {
            give(c, o, &copy);
        }
    }
    mem_free(copy.bare);
}

/* A REGISTER that takes bindings away (RFC 3261 section 10.2.2). */
static bool is_farewell(const struct li_message *m)
{
    struct view expires = li_parameter(m->contact, VIEW("expires"));

    return view_eq(m->method, VIEW("REGISTER")) && m->contact.n > 0 &&
           view_eq(expires.n > 0 ? expires : view_trim(m->expires), VIEW("0"));
}

static bool is_told(const struct tap_record *r, const struct li_message *m)
{
    return m->is_request && r->kind == TAP_MESSAGE_IN && r->is_proven && r->line != 0 &&
           !view_eq(m->method, VIEW("INVITE")) && !view_eq(m->method, VIEW("ACK")) &&
           !view_eq(m->method, VIEW("CANCEL")) && !view_eq(m->method, VIEW("BYE"));
}

void li_say_other(struct li_calls *c, const struct tap_record *r, const struct li_message *m)
{
    struct li_side_state who = {.line = r->line, .remote = r->remote};
    struct li_match match = li_match_begin(c, &who);
    struct li_party_texts texts;
    char text[129], whole[160];

    if (!is_told(r, m)) {
        return;
    }
    snprintf(whole, sizeof whole, "%.*s %.*s%s", m->method.n < 20 ? (int)m->method.n : 20,
             m->method.p, m->uri.n < 100 ? (int)m->uri.n : 100, m->uri.p,
             is_farewell(m) ? ", no longer" : "");
    for (const struct li_order *o = li_match_next(c, &match); o != NULL;
         o = li_match_next(c, &match)) {
        struct cdc_message say;
        if (!li_order_runs(o, c->now_us) || !has(o, r, m)) {
            continue;
        }
        say = li_message_of(c, NULL, o, CDC_SUBJECT_SIGNAL);
        say.signal.other = cdc_visible(view_of(whole), sizeof text - 1, text);
        say.signaled = li_party_of(&who, &texts);
        li_tell(c, o, &say);
    }
}
