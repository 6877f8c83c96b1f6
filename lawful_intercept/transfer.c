/* Calls that come of other calls: a REFER that was agreed to and the call which it asked for
 * (RFC 3515), and a call that takes the place of another (RFC 3891). */
#include <string.h>

#include "lawful_intercept/calls_int.h"

enum { OF_ONE_CALL = 8 }; /* of LI_REFERRALS */

/* What is dialled of a user part, as headgate reads it: escapes undone, no visual separators. */
static void digits_of(struct view user, char out[LI_TEXT_BYTES])
{
    size_t n = 0;

    for (size_t i = 0; i < user.n && n < LI_TEXT_BYTES - 1; i++) {
        char c = user.p[i];
        if (c == '%' && hex_get(view_sub(user, i + 1, 2), &c, 1) == E_OK) {
            i += 2;
        }
        if (c != '-' && c != '.' && c != '(' && c != ')' && c != ' ') {
            out[n++] = c;
        }
    }
    out[n] = 0;
}

/* ---- REFER -------------------------------------------------------------------------------------
 */
/* A free place, or that of the oldest one: of this call when it has its share, so that nobody
 * pushes away what others asked for. */
static struct li_referral *place_for(struct li_calls *c, const struct li_call *call)
{
    struct li_referral *oldest = &c->referral[0], *own = NULL;
    unsigned n_own = 0;

    for (unsigned i = 0; i < LI_REFERRALS; i++) {
        struct li_referral *r = &c->referral[i];
        if (r->at_us + LI_REFERRAL_S * 1000000ull < c->now_us) {
            r->at_us = 0;
        }
        if (r->at_us != 0 && strcmp(r->call, call->id) == 0) {
            n_own++;
            own = own == NULL || r->at_us < own->at_us ? r : own;
        }
        oldest = r->at_us < oldest->at_us ? r : oldest;
    }
    return n_own >= OF_ONE_CALL ? own : oldest;
}

void li_note_referral(struct li_calls *c, const struct li_call *call, enum li_side by,
                      const struct li_message *m)
{
    const struct li_side_state *who = &call->side[1 - (int)by];
    struct li_referral *to = NULL;

    if (call->n_legs == 0 || m->refer_to.n == 0 || (who->line == 0 && who->trunk == 0)) {
        return;
    }
    to = place_for(c, call);
    *to = (struct li_referral){
        .by = by, .line = who->line, .trunk = who->trunk, .cseq = m->cseq, .at_us = c->now_us};
    li_copy_text(to->call, sizeof to->call, view_of(call->id));
    digits_of(li_user_of(m->refer_to), to->to);
}

/* Old and new, for whoever follows both: the subject itself, or by its wish. */
static void say(struct li_calls *c, struct li_call *call, const struct li_call *old,
                const struct li_referral *why)
{
    struct li_party_texts to, from;

    for (unsigned i = 0; i < old->n_legs; i++) {
        const struct li_leg *leg = &old->leg[i];
        const struct li_order *o = li_order_of(c, leg);
        bool is_subjects = li_side_of(leg) == why->by && !leg->is_away;
        bool follows = o != NULL && (li_has_leg(call, o->id, LI_ORIGINATES) ||
                                     li_has_leg(call, o->id, LI_TERMINATES));
        struct li_leg *added = NULL;
        struct cdc_message m;
        if (o == NULL || !li_is_first(old, i) || (!is_subjects && !follows)) {
            continue;
        }
        added = follows ? NULL : li_add_leg(c, call, o, LI_TRANSFERRED);
        if (!follows && added == NULL) {
            continue;
        }
        m = li_message_of(c, old, o, CDC_REDIRECTION);
        m.related.sequence = view_of(call->sequence);
        m.related.system = view_of(c->element);
        m.redirected_to = li_party_of_number(view_of(call->called), &to);
        m.redirected_from = li_party_of(&old->side[why->by], &from);
        li_tell(c, o, &m);
        if (added != NULL) {
            li_say_so_far(c, call, added);
        }
    }
}

static bool is_asked_for(const struct li_referral *r, const struct li_call *call)
{
    const struct li_side_state *who = &call->side[LI_CALLER];
    char called[LI_TEXT_BYTES];

    if (r->at_us == 0 || !r->is_accepted || r->line != who->line || r->trunk != who->trunk ||
        call->begin_us < r->at_us || call->begin_us >= r->at_us + LI_REFERRAL_S * 1000000ull) {
        return false;
    }
    digits_of(view_of(call->called), called);
    return strcmp(r->to, called) == 0;
}

void li_say_transfer(struct li_calls *c, struct li_call *call)
{
    for (unsigned i = 0; i < LI_REFERRALS; i++) {
        struct li_referral *r = &c->referral[i];
        const struct li_call *old = NULL;
        if (!is_asked_for(r, call)) {
            continue;
        }
        old = li_call_of(c, view_of(r->call));
        if (old != NULL && old != call) {
            say(c, call, old, r);
            c->is_changed = true;
        }
        r->at_us = 0;
        return;
    }
}

void li_note_referred(struct li_calls *c, const struct li_call *call, enum li_side by,
                      const struct li_message *m)
{
    for (unsigned i = 0; m->status >= 200 && i < LI_REFERRALS; i++) {
        struct li_referral *r = &c->referral[i];
        if (r->at_us == 0 || r->is_accepted || r->by != by || r->cseq != m->cseq ||
            strcmp(r->call, call->id) != 0) {
            continue;
        }
        r->is_accepted = m->status < 300;
        r->at_us = r->is_accepted ? r->at_us : 0;
        /* Another ring may have told of the call before this one told why. */
        for (size_t k = 0; r->is_accepted && r->at_us != 0 && k < c->n; k++) {
            if (is_asked_for(r, c->all[k])) {
                li_say_transfer(c, c->all[k]);
            }
        }
    }
}

/* ---- Replaces ----------------------------------------------------------------------------------
 */
void li_say_replaces(struct li_calls *c, const struct li_call *call, const struct li_message *m)
{
    size_t end = 0;
    struct view id =
        view_trim(view_find(m->replaces, ';', &end) ? view_sub(m->replaces, 0, end) : m->replaces);
    const struct li_call *old = id.n > 0 ? li_call_of_sip_id(c, id) : NULL;
    uint64_t to = li_hash(li_parameter(m->replaces, VIEW("to-tag"))),
             from = li_hash(li_parameter(m->replaces, VIEW("from-tag")));

    if (old == NULL || old == call ||
        (to != old->caller_tag && from != old->caller_tag)) { /* names no dialog of it */
        return;
    }
    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_order *o = li_order_of(c, &call->leg[i]);
        struct cdc_message say = {0};
        if (o == NULL || !li_is_first(call, i) ||
            (!li_has_leg(old, o->id, LI_ORIGINATES) && !li_has_leg(old, o->id, LI_TERMINATES) &&
             !li_has_leg(old, o->id, LI_TRANSFERRED))) {
            continue;
        }
        say = li_message_of(c, call, o, CDC_SERVICE_INSTANCE);
        say.related.sequence = view_of(old->sequence);
        say.related.system = view_of(c->element);
        say.service = VIEW("takes the place of another call");
        li_tell(c, o, &say);
    }
}
