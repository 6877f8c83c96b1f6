/* One enrolment: the control channel (seed 302-305, 310) joined with the 611 call (301, 306-309).
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "provisioning/prov.h"

struct commit { /* what must outlive the query */
    struct enrol_params params;
    struct tapped_keys tapped;
};

static struct view source_key(const struct conn *c)
{
    return lockout_source(&c->peer);
}

static void say_and_end(struct conn *c, bool has_prompt, enum prompt which)
{
    struct voice *v = c->voice;

    if (v != NULL) {
        c->voice = NULL;
        voice_detach(v);
        if (has_prompt) {
            voice_say(v, which);
        }
        voice_end(v, has_prompt);
    }
}

/* As the 611 call's SIP has it, and the logs of the gate controllers. */
static const char *call_id_of(const struct conn *c)
{
    return c->enrol != NULL ? enrol_ps_call_id(c->enrol) : "";
}

static void note(const struct conn *c, const char *event, const char *outcome)
{
    char ip[NET_TEXT_MAX];

    net_ip_text(&c->peer, ip);
    LOG(LV_INFO, event, KV("call_id", call_id_of(c)), KV("source", (const char *)ip),
        KV("outcome", outcome));
}

void enrolment_refuse(struct conn *c, enum wire_code code, enum prov_meter outcome)
{
    if (c->dead || c->lingering) {
        return;
    }
    prov_count(c->prov, outcome, 1);
    note(c, "enrol.refused", wire_code_text((uint16_t)code));
    say_and_end(c, code == CODE_LOCKED, PROMPT_LOCKED);
    if (enrol_ps_refuse(c->enrol, code, c->prov->out) == E_OK) {
        conn_flush_out(c);
    }
    conn_end(c);
}

/* ---- 302, 303: the call that this control channel belongs to -----------------------------------
 */
static void match_call(struct conn *c)
{
    struct voice *v = voice_find(c->prov, enrol_ps_call_id(c->enrol));
    enum err e = v != NULL ? voice_attach(v, c) : E_NOTFOUND;

    if (e == E_DENIED) {
        enrolment_refuse(c, CODE_ADDRESS, PM_ADDRESS);
    } else if (e != E_OK) {
        enrolment_refuse(c, CODE_CALL, PM_REFUSED);
    } else {
        c->voice = v; /* each knows the other, before either can end */
        if (prov_ready(c->prov)) {
            conn_flush_out(c);
        } else {
            enrolment_refuse(c, CODE_BUSY, PM_UNAVAILABLE);
        }
    }
}

/* ---- 305, 306 ----------------------------------------------------------------------------------
 */
static void start_voice(struct conn *c)
{
    struct audio_keys keys = {.up_key = {.n = 0}};
    enum err e = enrol_ps_audio(c->enrol, &keys);

    if (e == E_OK) {
        conn_flush_out(c); /* the proof before the answer: seed order */
        conn_proved(c);
        conn_deadline(c, c->prov->set.control_voice_ms);
        if (c->voice != NULL) {
            tapped_seal(c->prov, voice_tapped(c->voice), call_id_of(c), &keys, &c->tapped);
        }
        e = c->voice != NULL ? voice_secure(c->voice, &keys) : FAIL(E_STATE);
    }
    audio_keys_wipe(&keys);
    if (e != E_OK) {
        LOG(LV_ERROR, "enrol.voice_failed", KV("call_id", call_id_of(c)), KV_ERR(e),
            KV("where", err_where()));
        enrolment_refuse(c, e == E_STATE ? CODE_CALL : CODE_INTERNAL, PM_UNAVAILABLE);
    } else {
        note(c, "enrol.voice", "secured");
    }
}

/* ---- 307-309 -----------------------------------------------------------------------------------
 */
static void tell_verdict(struct conn *c, enum wire_verdict v, enum prompt which)
{
    if (enrol_ps_auth_result(c->enrol, v, (uint8_t)c->tries_left, c->prov->out) != E_OK) {
        enrolment_refuse(c, CODE_INTERNAL, PM_UNAVAILABLE);
        return;
    }
    if (v == VERDICT_LOCKED) {
        prov_count(c->prov, PM_LOCKED, 1);
        note(c, "enrol.refused", "locked");
        say_and_end(c, true, which);
    } else if (c->voice != NULL) {
        voice_say(c->voice, which);
    }
    conn_flush_out(c);
}

static void wrong_try(struct conn *c, const char *why)
{
    struct prov *p = c->prov;
    uint64_t now = loop_now_ms(p->loop), left = 0, digest_left = 0;

    left = lockout_wrong(p->lockout, source_key(c), now);
    digest_left = lockout_wrong(p->lockout, view_from(c->digest, sizeof c->digest), now);
    prov_count(p, PM_WRONG_TRY, 1);
    note(c, "enrol.wrong_try", why);
    c->tries_left -= c->tries_left > 0;
    if (c->tries_left == 0 || left > 0 || digest_left > 0) {
        c->tries_left = 0;
        tell_verdict(c, VERDICT_LOCKED, PROMPT_LOCKED);
    } else {
        tell_verdict(c, VERDICT_WRONG, PROMPT_WRONG);
    }
}

static void on_order_state(struct prov *p, struct conn *c, void *extra, enum err e,
                           const struct pg_result *r)
{
    char state[16] = "";

    (void)p;
    (void)extra;
    if (c == NULL) {
        return;
    }
    if (e != E_OK || pg_rows(r) != 1 ||
        view_to_cstr(pg_text(r, 0, 0), state, sizeof state) != E_OK) {
        enrolment_refuse(c, CODE_BUSY, PM_UNAVAILABLE);
    } else if (strcmp(state, "open") == 0) {
        c->accepted = true;
        note(c, "enrol.order", "accepted");
        conn_deadline(c, c->prov->set.control_step_ms);
        tell_verdict(c, VERDICT_ACCEPTED, PROMPT_ACCEPTED);
    } else {
        wrong_try(c, state);
    }
}

void enrolment_digits(struct conn *c, struct view digits)
{
    struct prov *p = c->prov;
    uint64_t now = loop_now_ms(p->loop);
    enum err e = E_OK;

    if (c->dead || c->lingering || c->accepted || c->job != NULL) {
        return;
    }
    e = order_digest(&p->keys->work_order, digits, c->digest);
    if (e == E_OK && (lockout_left(p->lockout, source_key(c), now) > 0 ||
                      lockout_left(p->lockout, view_from(c->digest, sizeof c->digest), now) > 0)) {
        c->tries_left = 0;
        tell_verdict(c, VERDICT_LOCKED, PROMPT_LOCKED);
        return;
    }
    if (e == E_OK) {
        const struct pg_param digest = PG_BYTES(view_from(c->digest, sizeof c->digest));
        e = job_query(c, SQL_ORDER_STATE, &digest, 1, on_order_state, NULL, 0);
    }
    if (e != E_OK) {
        enrolment_refuse(c, CODE_BUSY, PM_UNAVAILABLE);
    }
}

/* ---- 310 ---------------------------------------------------------------------------------------
 */
static void tell_servers(const struct prov *p, struct enrol_texts *out)
{
    char own[NET_TEXT_MAX];

    net_text(&p->control_address, own);
    out->n = 0;
    for (size_t i = 0; i < p->set.control_servers.n && i < 4; i++) {
        snprintf(out->v[out->n++], ENROL_TEXT_BYTES, "%s", p->set.control_servers.v[i]);
    }
    if (out->n == 0) {
        snprintf(out->v[out->n++], ENROL_TEXT_BYTES, "%s", own);
    }
}

static void acknowledge(struct conn *c, const uint8_t bti_id[BTI_ID_BYTES],
                        const struct enrol_texts *numbers)
{
    struct prov *p = c->prov;
    struct enrol_ack *ack = mem_zalloc(sizeof *ack);
    enum err e = E_NOMEM;

    if (ack != NULL) {
        memcpy(ack->bti_id, bti_id, BTI_ID_BYTES);
        ack->numbers = *numbers;
        gates_assign(&p->gates, bti_id, &ack->gates);
        tell_servers(p, &ack->servers);
        e = enrol_ps_acknowledge(c->enrol, ack, p->out);
        mem_free(ack);
    }
    if (e != E_OK) { /* committed all the same: the BTI runs it again */
        LOG(LV_ERROR, "enrol.unacknowledged", KV_ERR(e), KV("where", err_where()));
        conn_end(c);
        return;
    }
    say_and_end(c, true, PROMPT_GOODBYE);
    conn_flush_out(c);
}

static void conclude(struct conn *c, enum enrol_outcome outcome, const uint8_t *bti_id,
                     const struct enrol_texts *numbers)
{
    static const enum prov_meter meter[] = {
        [ENROL_ENROLLED] = PM_ENROLLED, [ENROL_AGAIN] = PM_AGAIN,
        [ENROL_UNKNOWN] = PM_NO_ORDER,  [ENROL_CANCELLED] = PM_NO_ORDER,
        [ENROL_EXPIRED] = PM_NO_ORDER,  [ENROL_SPENT] = PM_SPENT,
        [ENROL_REVOKED] = PM_REVOKED,
    };
    struct prov *p = c->prov;

    if (outcome == ENROL_ENROLLED || outcome == ENROL_AGAIN) {
        char id[2 * BTI_ID_BYTES + 1];
        hex_put(bti_id, BTI_ID_BYTES, id);
        prov_count(p, meter[outcome], 1);
        LOG(LV_INFO, "enrol.done", KV("call_id", call_id_of(c)), KV("bti", (const char *)id),
            KV("outcome", outcome == ENROL_AGAIN ? "again" : "enrolled"));
        /* Not when it is run again: whoever has one order of his own could guess others for ever.
         */
        if (outcome == ENROL_ENROLLED) {
            lockout_forgive(p->lockout, source_key(c));
        }
        lockout_forgive(p->lockout, view_from(c->digest, sizeof c->digest));
        acknowledge(c, bti_id, numbers);
        return;
    }
    lockout_wrong(p->lockout, source_key(c), loop_now_ms(p->loop));
    enrolment_refuse(c, outcome == ENROL_REVOKED ? CODE_REVOKED : CODE_UNKNOWN, meter[outcome]);
}

static void on_commit(struct prov *p, struct conn *c, void *extra, enum err e,
                      const struct pg_result *r)
{
    struct commit *q = extra;
    struct enrol_texts *numbers = mem_zalloc(sizeof *numbers);
    enum enrol_outcome outcome = ENROL_UNKNOWN;

    if (e == E_OK) {
        e = numbers != NULL ? enrol_result(r, &outcome, numbers) : FAIL(E_NOMEM);
    }
    if (e == E_OK && (outcome == ENROL_ENROLLED || outcome == ENROL_AGAIN)) {
        tapped_enrolment(p, &q->tapped, "enrolled", pg_u64(r, 0, 1), q->params.bti_id, numbers);
    } else {
        tapped_enrolment(p, &q->tapped, "refused", 0, NULL, NULL);
    }
    if (c == NULL) {
        LOG(LV_WARN, "enrol.unacknowledged", KV_ERR(e));
    } else if (e != E_OK) {
        enrolment_refuse(c, CODE_BUSY, PM_UNAVAILABLE);
    } else {
        conclude(c, outcome, q->params.bti_id, numbers);
    }
    mem_free(numbers);
}

static void commit(struct conn *c)
{
    struct prov *p = c->prov;
    struct commit *q = mem_zalloc(sizeof *q);
    struct ltk ltk = {.enc_up = {.n = 0}};
    enum err e = E_OK;

    if (q == NULL) {
        enrolment_refuse(c, CODE_BUSY, PM_UNAVAILABLE);
        return;
    }
    e = enrol_ps_ltk(c->enrol, &ltk);
    if (e == E_OK) {
        e = enrol_params(&p->keys->work_order, &p->keys->kek, c->digest,
                         enrol_ps_user_key(c->enrol), &ltk, enrol_ps_info(c->enrol), &q->params);
    }
    ltk_wipe(&ltk);
    if (e != E_OK) {
        wipe(q, sizeof *q);
        mem_free(q);
    } else {
        conn_deadline(c, p->set.control_step_ms);
        q->tapped = c->tapped;
        e = job_query(c, SQL_ENROL, q->params.p, sizeof q->params.p / sizeof q->params.p[0],
                      on_commit, q, sizeof *q);
        c->tapped.are_sealed = c->tapped.are_sealed && e != E_OK;
    }
    if (e != E_OK) {
        LOG(LV_ERROR, "enrol.commit_failed", KV_ERR(e), KV("where", err_where()));
        enrolment_refuse(c, CODE_BUSY, PM_UNAVAILABLE);
    }
}

void enrolment_frame(struct conn *c, struct view frame)
{
    struct prov *p = c->prov;
    enum err e = enrol_ps_feed(c->enrol, frame, p->out);

    if (e != E_OK) {
        LOG(LV_ERROR, "enrol.failed", KV_ERR(e), KV("where", err_where()));
        enrolment_refuse(c, CODE_INTERNAL, PM_UNAVAILABLE);
        return;
    }
    switch (p->out->event) {
    case PS_HELLO:
        match_call(c);
        break;
    case PS_AUDIO_READY:
        start_voice(c);
        break;
    case PS_USER_KEY:
        commit(c);
        break;
    case PS_REFUSED:
        prov_count(p, PM_REFUSED, 1);
        note(c, "enrol.refused", "protocol");
        say_and_end(c, false, PROMPT_LOCKED);
        conn_flush_out(c);
        break;
    default:
        conn_flush_out(c);
        break;
    }
}
