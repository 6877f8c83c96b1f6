/* Forking (RFC 3261 section 16.6, RFC 5393): which targets are tried together, with how much of the
 * Max-Breadth that came in, and when it is the turn of the next ones. */
#include "gc/divert.h"

enum { BREADTH_MAX = 60 };

/* RFC 5393 section 5.3.3: what the requests under way carry together never passes what came in. */
static unsigned breadth_left(const struct ctx *c, const struct sip_msg *m)
{
    struct view v = sip_header_value(m, SIP_H_MAX_BREADTH);
    uint64_t n = BREADTH_MAX;

    if (v.n > 0 && view_to_u64(v, UINT32_MAX, &n) != E_OK) {
        n = BREADTH_MAX;
    }
    n = n < BREADTH_MAX ? n : BREADTH_MAX;
    for (struct hlink *p = c->legs; p != NULL; p = p->next) {
        unsigned used = HLIST_OF(p, struct leg, in_ctx)->breadth;
        n -= used < n ? used : n;
    }
    return (unsigned)n;
}

static bool cares_for_breadth(const struct ctx *c, const struct sip_msg *m)
{
    return c->n_targets + divert_keeps_share(c) > 1 || sip_header(m, SIP_H_MAX_BREADTH, 0) != NULL;
}

/* Targets that are tried together. What cannot be cancelled has no second turn: all at once. */
static unsigned group_size(const struct ctx *c)
{
    unsigned n = 1, left = c->n_targets - c->next;

    if (!c->is_parallel || c->method != SIP_M_INVITE) {
        return c->is_parallel ? left : 1;
    }
    while (n < left && c->target[c->next + n].q == c->target[c->next].q) {
        n++;
    }
    return n;
}

/* Those of a later preference may have to be asked while these still end: they keep their share. */
static unsigned share_of(const struct ctx *c, unsigned left, unsigned n)
{
    unsigned later = c->n_targets - c->next + divert_keeps_share(c);
    unsigned each = c->is_parallel ? left / later : 0;

    return each != 0 ? each : left / n;
}

bool fork_fits(const struct ctx *c, const struct sip_msg *m)
{
    return c->n_targets == 0 || !cares_for_breadth(c, m) || group_size(c) <= breadth_left(c, m);
}

bool fork_can_add(const struct ctx *c, const struct sip_msg *m)
{
    return breadth_left(c, m) > 0;
}

/* Nobody took the call in the time of this preference. Its phones stop ringing, and count as having
 * kept silent whatever they say to the CANCEL; one that answers all the same still has the call. */
static void on_ring(void *arg)
{
    struct ctx *c = arg;
    struct sip_msg m;

    if (c->is_final || c->is_cancelled || c->is_answered || ctx_reframe(c, &m) != E_OK) {
        return;
    }
    for (struct hlink *p = c->legs; p != NULL; p = p->next) {
        struct leg *l = HLIST_OF(p, struct leg, in_ctx);
        if (!l->is_final) {
            l->is_timed_out = true;
            leg_cancel(l, "SIP;cause=408;text=\"Nobody answered\"");
        }
    }
    fork_next(c, &m);
}

void fork_next(struct ctx *c, const struct sip_msg *m)
{
    bool cares = cares_for_breadth(c, m), any = false;

    while (c->next < c->n_targets && !any) {
        unsigned n = group_size(c), left = cares ? breadth_left(c, m) : n;
        unsigned each = 0;
        n = n < left ? n : left;
        if (n == 0) {
            break;
        }
        for (each = cares ? share_of(c, left, n) : 0; n > 0; n--) {
            any = ctx_launch(c, m, each) || any;
        }
    }
    if (any && c->is_parallel && c->next < c->n_targets) {
        IGNORE(loop_timer_start(c->w->loop, &c->ring, c->w->set->ring_s * 1000, on_ring, c),
               "then the next preference waits for these to end");
    }
}
