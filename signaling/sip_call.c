/* Calls: finding, ending, and what both sides do (RFC 3261 section 15). */
#include <string.h>

#include "base/mem.h"
#include "signaling/sip_ua_int.h"

/* ---- finding -----------------------------------------------------------------------------------
 */
static struct sip_call **bucket_of(const struct sip_ua *ua, struct view call_id)
{
    return &ua->bucket[ua_hash(ua, call_id) & (ua->buckets - 1)];
}

void call_enter(struct sip_call *c)
{
    struct sip_call **at = bucket_of(c->ua, view_of(c->call_id));

    c->next = *at;
    *at = c;
    c->ua->n_calls++;
}

struct sip_call *call_find(const struct sip_ua *ua, const struct sip_msg *m)
{
    struct sip_call *c = *bucket_of(ua, m->call_id);

    while (c != NULL && !(c->state != CALL_DEAD && view_eq(m->call_id, view_of(c->call_id)) &&
                          view_eq(m->to_tag, view_of(c->local_tag)) &&
                          view_eq(m->from_tag, view_of(c->d.remote_tag)))) {
        c = c->next;
    }
    return c;
}

/* Section 8.2.2.2: the same request by another way. */
bool call_is_merged(const struct sip_ua *ua, const struct sip_msg *m)
{
    const struct sip_call *c = *bucket_of(ua, m->call_id);

    while (c != NULL &&
           !(c->incoming != NULL && view_eq(m->call_id, view_of(c->call_id)) &&
             view_eq(m->from_tag, view_of(c->d.remote_tag)) && c->d.remote_cseq == m->cseq)) {
        c = c->next;
    }
    return c != NULL;
}

/* ---- life --------------------------------------------------------------------------------------
 */
enum err call_new(struct sip_ua *ua, const struct sip_flow *flow, struct sip_call **out)
{
    struct sip_call *c = mem_zalloc(sizeof *c);
    enum err e = c != NULL ? ua_tag(c->local_tag) : FAIL(E_NOMEM);

    TRY(e);
    c->ua = ua;
    c->flow = *flow;
    *out = c;
    c = NULL; /* moved */
out:
    mem_free(c);
    return e;
}

void call_free(struct sip_call *c)
{
    if (c != NULL) {
        loop_timer_stop(c->ua->loop, &c->timer);
        dialog_fini(&c->d);
        mem_free(c->request);
        mem_free(c->ok);
        mem_free(c->sdp);
        mem_free(c);
    }
}

static void let_go(struct sip_call *c)
{
    if (c->state == CALL_DEAD && c->refs == 0) {
        c->next_dead = c->ua->dead;
        c->ua->dead = c;
    }
}

void call_release(struct sip_call *c)
{
    c->refs--;
    let_go(c);
}

void call_drop_ok(struct sip_call *c)
{
    loop_timer_stop(c->ua->loop, &c->timer);
    mem_free(c->ok);
    c->ok = NULL;
    c->ok_n = 0;
}

void call_drop_request(struct sip_call *c)
{
    mem_free(c->request);
    c->request = NULL;
}

void call_tell(struct sip_call *c, enum sip_call_event ev, unsigned status, const struct sip_msg *m)
{
    c->ua->cfg.on_call(c->ua->cfg.arg, c, ev, status, m);
}

void call_bury(struct sip_call *c)
{
    c->state = CALL_DEAD;
    c->ua->n_calls--;
    call_drop_ok(c);
    call_drop_request(c);
    let_go(c);
}

void call_end(struct sip_call *c, enum sip_call_event ev, unsigned status, const struct sip_msg *m)
{
    if (c->state != CALL_DEAD) {
        call_bury(c);
        call_tell(c, ev, status, m);
    }
}

/* The end of a call that nobody has to be asked about: told when no call of the user's is on the
 * stack. */
void call_end_late(struct sip_call *c, unsigned status)
{
    c->state = CALL_ENDING;
    c->ended_status = status;
    if (!c->is_late) {
        c->is_late = true;
        c->next_late = c->ua->late;
        c->ua->late = c;
    }
}

static void unlink_call(struct sip_call *c)
{
    struct sip_call **at = bucket_of(c->ua, view_of(c->call_id));

    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
}

void call_reap(struct sip_ua *ua)
{
    while (ua->late != NULL) {
        struct sip_call *c = ua->late;
        ua->late = c->next_late;
        c->is_late = false;
        call_end(c, SIP_CALL_ENDED, c->ended_status, NULL);
    }
    while (ua->dead != NULL) {
        struct sip_call *c = ua->dead;
        ua->dead = c->next_dead;
        unlink_call(c);
        call_free(c);
    }
}

enum err call_keep_sdp(struct sip_call *c, struct view sdp)
{
    char *copy = sdp.n > 0 ? mem_zalloc(sdp.n) : NULL;

    if (sdp.n > 0 && copy == NULL) {
        return FAIL(E_NOMEM);
    }
    if (copy != NULL) {
        memcpy(copy, sdp.p, sdp.n);
        mem_free(c->sdp);
        c->sdp = copy;
        c->sdp_n = sdp.n;
        c->sdp_shape = ua_sdp_shape(sdp);
    }
    return E_OK;
}

/* ---- BYE ---------------------------------------------------------------------------------------
 */
static void on_bye_done(struct ua_req *r, enum txn_event ev, const struct sip_msg *m)
{
    if (ev != TXN_RESPONSE || m->status >= 200) {
        call_end(r->call, SIP_CALL_ENDED, ev == TXN_RESPONSE ? m->status : 0, NULL);
    }
}

void call_say_bye(struct sip_call *c)
{
    call_drop_ok(c);
    c->state = CALL_ENDING;
    if (dialog_send_bye(c, &c->d, on_bye_done, false) != E_OK) {
        call_end_late(c, 0); /* the peer finds out by its next request: 481 */
    }
}

/* ---- the user's side ---------------------------------------------------------------------------
 */
void sip_call_hangup(struct sip_call *c, const char *reason_or_null)
{
    if (c->state == CALL_ENDING || c->state == CALL_DEAD || c->wants_hangup) {
        return;
    }
    c->wants_hangup = true;
    if (reason_or_null != NULL &&
        view_to_cstr(view_of(reason_or_null), c->reason, sizeof c->reason) != E_OK) {
        c->reason[0] = 0; /* longer than any that we know: left out */
    }
    if (c->state == CALL_CALLING) {
        call_send_cancel(c);
    } else if (c->state == CALL_RINGING) {
        call_refuse(c, 603);
        call_drop_request(c);
        call_end_late(c, 603);
    } else if (c->ok == NULL) {
        call_say_bye(c);
    } /* else the BYE waits for the ACK (section 15), or for on_ok_timer() */
}

void *sip_call_data(const struct sip_call *c)
{
    return c->data;
}

void sip_call_set_data(struct sip_call *c, void *data)
{
    c->data = data;
}

struct view sip_call_id(const struct sip_call *c)
{
    return view_of(c->call_id);
}

struct net_addr sip_call_local(const struct sip_call *c)
{
    return c->flow.local;
}
