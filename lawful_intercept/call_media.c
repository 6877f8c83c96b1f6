/* The session descriptions of a call (RFC 3264 over RFC 3261, 3262, 3311): which one of each side
 * holds. An offer within a call holds when it was agreed to, and what was refused is forgotten. Of
 * several phones that ring, the one that is answered counts. */
#include <string.h>

#include "base/mem.h"
#include "lawful_intercept/calls_int.h"

void li_sdp_free(struct li_sdp *s)
{
    if (s->p != NULL) {
        wipe(s->p, s->n);
    }
    mem_free(s->p);
    *s = (struct li_sdp){NULL, 0};
}

bool li_sdp_set(struct li_sdp *s, struct view sdp)
{
    char *copy = NULL;

    if (sdp.n == 0 || sdp.n > CDC_SDP_MAX) {
        return false;
    }
    copy = mem_zalloc(sdp.n);
    if (copy == NULL) {
        return false;
    }
    cdc_text(sdp, copy); /* a strange octet in it must not keep the rest from an agency */
    if (s->p != NULL && view_eq(view_from(s->p, s->n), view_from(copy, sdp.n))) {
        wipe(copy, sdp.n);
        mem_free(copy);
        return false;
    }
    li_sdp_free(s);
    *s = (struct li_sdp){copy, sdp.n};
    return true;
}

static void forget_offer(struct li_side_state *s)
{
    li_sdp_free(&s->offer);
    s->offer_cseq = 0;
    s->is_offer_in_answer = false;
}

/* One that no 2xx confirmed. */
static void forget_early_answer(struct li_side_state *s)
{
    if (s->offer_cseq == 0) {
        forget_offer(s);
    }
}

static void forget_forks(struct li_call *call)
{
    for (unsigned i = 0; i < call->n_forks; i++) {
        li_sdp_free(&call->fork[i].sdp);
    }
    call->n_forks = 0;
}

void li_media_forget(struct li_call *call, enum li_side side)
{
    li_sdp_free(&call->side[side].sdp);
    forget_offer(&call->side[side]);
    if (side == LI_CALLEE) {
        forget_forks(call);
    }
}

void li_media_fini(struct li_call *call)
{
    li_media_forget(call, LI_CALLER);
    li_media_forget(call, LI_CALLEE);
}

bool li_is_setup(const struct li_call *call, const struct li_message *m, enum li_side asker)
{
    return view_eq(m->method, VIEW("INVITE")) && asker == LI_CALLER &&
           (!call->has_invite || m->cseq == call->invite_cseq);
}

/* ---- early dialogs -----------------------------------------------------------------------------
 */
static struct li_fork *fork_of(struct li_call *call, uint64_t tag)
{
    for (unsigned i = 0; i < call->n_forks; i++) {
        if (call->fork[i].tag == tag) {
            return &call->fork[i];
        }
    }
    if (call->n_forks == LI_FORKS) {
        return NULL;
    }
    call->fork[call->n_forks] = (struct li_fork){.tag = tag};
    return &call->fork[call->n_forks++];
}

/* What the callee said before it answered, or as it did. */
static enum li_media learn_setup_response(struct li_call *call, const struct li_message *m,
                                          bool is_in, struct view sdp)
{
    struct li_side_state *callee = &call->side[LI_CALLEE];
    uint64_t tag = li_hash(m->to_tag);
    struct li_fork *f = NULL;
    bool changed = false;

    if (call->is_answered && is_in && m->status < 300 && m->status >= 200 &&
        tag != call->answer_tag) { /* another phone did so too: the caller chooses */
        f = fork_of(call, tag);
        IGNORE(f != NULL && li_sdp_set(&f->sdp, sdp) ? E_OK : E_NOTFOUND, "it has it already");
        return LI_MEDIA_SAME;
    }
    if (call->is_answered || m->status >= 300 || m->status == 100) {
        return LI_MEDIA_SAME;
    }
    if (!is_in) { /* the gate's own: while the callee speaks for itself this is a copy */
        return m->status >= 200 && li_sdp_set(&callee->sdp, sdp) ? LI_MEDIA_CHANGED : LI_MEDIA_SAME;
    }
    f = fork_of(call, tag);
    if (f != NULL) {
        IGNORE(li_sdp_set(&f->sdp, sdp) ? E_OK : E_NOTFOUND, "the one before still holds");
        sdp = f->sdp.p != NULL ? view_from(f->sdp.p, f->sdp.n) : sdp;
    }
    if (m->status >= 200 && sdp.n == 0 && call->n_forks > 1) {
        li_sdp_free(&callee->sdp); /* another phone's */
    }
    changed = li_sdp_set(&callee->sdp, sdp);
    if (m->status >= 200) {
        forget_forks(call);
    }
    return changed ? LI_MEDIA_CHANGED : LI_MEDIA_SAME;
}

/* ---- offers and answers ------------------------------------------------------------------------
 */
static uint64_t callee_tag(const struct li_call *call, const struct li_message *m)
{
    uint64_t tag = li_hash(m->from_tag);

    return tag == call->caller_tag ? li_hash(m->to_tag) : tag;
}

/* What the callee holds since UPDATE or PRACK is what its early dialog has. */
static void keep_fork(struct li_call *call, const struct li_message *m)
{
    const struct li_sdp *now = &call->side[LI_CALLEE].sdp;
    uint64_t tag = callee_tag(call, m);

    for (unsigned i = 0; now->p != NULL && i < call->n_forks; i++) {
        if (call->fork[i].tag == tag) {
            IGNORE(li_sdp_set(&call->fork[i].sdp, view_from(now->p, now->n)) ? E_OK : E_NOTFOUND,
                   "it has it already");
        }
    }
}

/* Of several phones that answered one goes: if it was the first, another one stays. */
static bool part_from(struct li_call *call, const struct li_message *m)
{
    uint64_t tag = callee_tag(call, m);
    struct li_fork *last = call->n_forks > 0 ? &call->fork[call->n_forks - 1] : NULL;
    bool changed = false;

    if (last == NULL || !call->is_answered) {
        return false;
    }
    if (tag == call->answer_tag) {
        call->answer_tag = last->tag;
        changed = last->sdp.p != NULL &&
                  li_sdp_set(&call->side[LI_CALLEE].sdp, view_from(last->sdp.p, last->sdp.n));
        tag = last->tag;
    }
    for (unsigned i = 0; i < call->n_forks; i++) {
        if (call->fork[i].tag == tag) {
            li_sdp_free(&call->fork[i].sdp);
            call->fork[i] = *last;
            *last = (struct li_fork){.tag = 0};
            call->n_forks--;
            break;
        }
    }
    return changed;
}

static bool agree(struct li_side_state *s)
{
    bool changed = s->offer.p != NULL && li_sdp_set(&s->sdp, view_from(s->offer.p, s->offer.n));

    forget_offer(s);
    return changed;
}

static enum li_media learn_request(struct li_call *call, const struct li_message *m,
                                   enum li_side side, struct view sdp)
{
    struct li_side_state *s = &call->side[side], *other = &call->side[1 - (int)side];
    bool changed = false;

    if (view_eq(m->method, VIEW("ACK"))) {
        if (other->is_offer_in_answer && sdp.n == 0) {
            forget_offer(other); /* it was never answered */
        }
        changed = other->is_offer_in_answer && agree(other);
        changed = li_sdp_set(&s->sdp, sdp) || changed;
    } else if (view_eq(m->method, VIEW("PRACK"))) { /* an answer, mostly */
        changed = li_sdp_set(&s->sdp, sdp);
    } else if (view_eq(m->method, VIEW("BYE"))) {
        changed = part_from(call, m);
    } else if (view_eq(m->method, VIEW("INVITE")) || view_eq(m->method, VIEW("UPDATE"))) {
        if (li_is_setup(call, m, side) && !call->is_answered) {
            IGNORE(li_sdp_set(&s->sdp, sdp) ? E_OK : E_NOTFOUND, "the first of the call");
            return LI_MEDIA_SAME;
        }
        if (sdp.n == 0 && view_eq(m->method, VIEW("UPDATE"))) {
            return LI_MEDIA_SAME; /* of the session's time (RFC 4028), and of no media */
        }
        forget_offer(s);
        IGNORE(li_sdp_set(&s->offer, sdp) ? E_OK : E_NOTFOUND, "without one it asks for one");
        s->offer_cseq = m->cseq;
    }
    return changed ? LI_MEDIA_CHANGED : LI_MEDIA_SAME;
}

/* Whether a response may hold an answer; a PRACK may have asked for it (RFC 3262 section 5). */
static bool may_answer(const struct li_message *m)
{
    return view_eq(m->method, VIEW("INVITE")) || view_eq(m->method, VIEW("UPDATE")) ||
           view_eq(m->method, VIEW("PRACK"));
}

static enum li_media learn_response(struct li_call *call, const struct li_message *m,
                                    enum li_side asker, bool is_in, struct view sdp)
{
    struct li_side_state *s = &call->side[asker], *other = &call->side[1 - (int)asker];
    bool is_asked = s->offer_cseq == m->cseq && s->offer_cseq != 0;
    bool changed = false;

    if (!may_answer(m) || m->status == 100) {
        return LI_MEDIA_SAME;
    }
    if (view_eq(m->method, VIEW("PRACK"))) {
        changed = is_in && m->status >= 200 && m->status < 300 && li_sdp_set(&other->sdp, sdp);
        return changed ? LI_MEDIA_CHANGED : LI_MEDIA_SAME;
    }
    if (!is_asked) {
        return LI_MEDIA_SAME; /* of the second copy of a response everything is known */
    }
    if (m->status < 200) { /* the answer to a re-INVITE may come early, and not again in the 2xx */
        if (is_in && other->offer_cseq == 0) {
            IGNORE(li_sdp_set(&other->offer, sdp) ? E_OK : E_NOTFOUND, "there was none, or it was");
        }
        return LI_MEDIA_SAME;
    }
    if (m->status >= 300) {
        forget_offer(s);
        forget_early_answer(other);
        return LI_MEDIA_SAME;
    }
    if (s->offer.p == NULL) { /* what it asked for is in the answer: the ACK agrees */
        forget_offer(s);
        if (is_in && view_eq(m->method, VIEW("INVITE")) && li_sdp_set(&other->offer, sdp)) {
            other->offer_cseq = m->cseq;
            other->is_offer_in_answer = true;
        }
        return LI_MEDIA_SAME;
    }
    changed = agree(s);
    if (sdp.n == 0 && other->offer_cseq == 0) {
        changed = agree(other) || changed;
    }
    changed = li_sdp_set(&other->sdp, sdp) || changed;
    forget_early_answer(other);
    return changed ? LI_MEDIA_CHANGED : LI_MEDIA_SAME;
}

enum li_media li_media_learn(struct li_call *call, const struct tap_record *r,
                             const struct li_message *m, enum li_side side)
{
    struct view sdp = li_message_sdp(m);
    bool is_in = r->kind == TAP_MESSAGE_IN;
    enum li_side asker = is_in == m->is_request ? side : (enum li_side)(1 - (int)side);
    enum li_media media = LI_MEDIA_SAME;

    if (!m->is_request && li_is_setup(call, m, asker)) {
        return learn_setup_response(call, m, is_in, sdp);
    }
    if (!m->is_request) {
        media = learn_response(call, m, asker, is_in, sdp);
    } else if (is_in) {
        media = learn_request(call, m, side, sdp);
    }
    if (media == LI_MEDIA_CHANGED) {
        keep_fork(call, m);
    }
    return media;
}
