#include "provisioning/session_ps.h"

#include <string.h>

#include "base/hpke.h"
#include "provisioning/hello.h"
#include "provisioning/proof.h"

enum sp_state { SP_YO, SP_REQUEST, SP_DECIDE, SP_END };

#define CT_MAX  512
#define MSG_MAX 1024

struct session_ps {
    struct enrol_ps_cfg cfg;
    enum sp_state state;
    struct channel ch;
    uint64_t form;
    uint8_t hash[SHA256_BYTES]; /* before the request */
    uint8_t bti_id[BTI_ID_BYTES];
    uint8_t nonce[GCM_NONCE_BYTES], ct[CT_MAX];
    size_t ct_n;
    uint8_t msg[MSG_MAX]; /* what the signature or MAC covers */
    size_t msg_n;
    uint8_t proof[P256_SIG_BYTES];
    struct secret secret;
    uint64_t time_us, counter;
    char gate[ENROL_TEXT_BYTES];
};

enum err session_ps_new(const struct enrol_ps_cfg *cfg, struct session_ps **out)
{
    struct session_ps *p = secret_alloc(sizeof *p);
    if (!p) {
        return FAIL(E_NOMEM);
    }
    p->cfg = *cfg;
    enum err e = channel_init(&p->ch);
    if (e != E_OK) {
        secret_release(p, sizeof *p);
        return e;
    }
    *out = p;
    return E_OK;
}

void session_ps_free(struct session_ps *p)
{
    if (p) {
        channel_wipe(&p->ch);
        secret_release(p, sizeof *p);
    }
}

static enum err plain_read(struct session_ps *p, struct view v)
{
    struct view id;
    struct view secret;
    struct view gate;
    enum err e = E_OK;
    TRY(wire_get(&v, WF_BTI_ID, BTI_ID_BYTES, BTI_ID_BYTES, &id));
    TRY(wire_get(&v, WF_SECRET, NONCE_BYTES, NONCE_BYTES, &secret));
    TRY(wire_get_u(&v, WF_TIME, 8, &p->time_us));
    TRY(wire_get_u(&v, WF_COUNTER, 8, &p->counter));
    TRY(wire_get(&v, WF_GATE_NAME, 1, ENROL_TEXT_BYTES - 1, &gate));
    TRY(wire_finish(v));
    if (p->form == FORM_LTK && !bytes_eq(id.p, p->bti_id, BTI_ID_BYTES)) {
        return FAIL(E_AUTH);
    }
    memcpy(p->bti_id, id.p, BTI_ID_BYTES);
    TRY(secret_set(&p->secret, secret.p, secret.n));
    TRY(view_to_cstr(gate, p->gate, sizeof p->gate));
out:
    return e == E_RANGE ? E_PARSE : e;
}

static enum err keyed(struct session_ps *p)
{
    uint8_t hash[SHA256_BYTES];
    enum err e = channel_hash(&p->ch, hash);
    return e == E_OK ? keys_channel(&p->ch, &p->secret, hash) : e;
}

/* The signature or MAC is the last field and covers everything in front of it. */
static enum err proof_take(struct session_ps *p, struct view whole, struct view rest,
                           enum wire_field f, size_t n)
{
    struct view proof;
    struct view m;
    enum err e = E_OK;
    TRY(wire_get(&rest, f, n, n, &proof));
    if (rest.n != 0) {
        return FAIL(E_PARSE);
    }
    TRY(request_message(p->hash, view_sub(whole, 0, whole.n - n - WIRE_FIELD_HEAD), p->msg,
                        sizeof p->msg, &m));
    p->msg_n = m.n;
    memcpy(p->proof, proof.p, n);
out:
    return e;
}

/* Codes ascend, so the form shows before its field: only a signed request begins with HPKE_ENC. */
static enum err request_fields(struct session_ps *p, struct view body, struct view *out_enc,
                               struct view *out_ct)
{
    struct view whole = body;
    struct view f;
    bool is_signed = wire_next_is(body, WF_HPKE_ENC);
    enum err e = E_OK;
    if (is_signed) {
        TRY(wire_get(&body, WF_HPKE_ENC, HPKE_ENC_BYTES, HPKE_ENC_BYTES, out_enc));
    }
    TRY(wire_get(&body, WF_HPKE_CT, GCM_TAG_BYTES, CT_MAX, out_ct));
    if (!is_signed) {
        TRY(wire_get(&body, WF_BTI_ID, BTI_ID_BYTES, BTI_ID_BYTES, &f));
        memcpy(p->bti_id, f.p, BTI_ID_BYTES);
    }
    TRY(wire_get_u(&body, WF_FORM, 1, &p->form));
    if (p->form != (is_signed ? FORM_SIGNED : FORM_LTK)) {
        return FAIL(E_PARSE);
    }
    if (!is_signed) {
        TRY(wire_get(&body, WF_NONCE, GCM_NONCE_BYTES, GCM_NONCE_BYTES, &f));
        memcpy(p->nonce, f.p, GCM_NONCE_BYTES);
    }
    TRY(proof_take(p, whole, body, is_signed ? WF_SIGNATURE : WF_MAC,
                   is_signed ? (size_t)P256_SIG_BYTES : (size_t)SHA256_BYTES));
out:
    return e;
}

static enum err request_read(struct session_ps *p, struct view frame, struct view body)
{
    struct view enc = {0};
    struct view ct;
    uint8_t plain[CT_MAX];
    bool is_signed = false;
    enum err e = E_OK;
    TRY(channel_hash(&p->ch, p->hash));
    TRY(request_fields(p, body, &enc, &ct));
    is_signed = p->form == FORM_SIGNED;
    if (is_signed) {
        TRY(hpke_open((enum hpke_aead)p->ch.suite, p->cfg.key, (const uint8_t *)enc.p,
                      VIEW(HPKE_INFO_SESSION), view_from(p->hash, SHA256_BYTES), ct, plain));
        TRY(plain_read(p, view_from(plain, ct.n - GCM_TAG_BYTES)));
    } else {
        memcpy(p->ct, ct.p, ct.n);
        p->ct_n = ct.n;
    }
    TRY(channel_add(&p->ch, frame));
    if (is_signed) {
        TRY(keyed(p));
    }
out:
    wipe(plain, sizeof plain);
    return e;
}

static enum err end_with(struct session_ps *p, uint16_t code, struct enrol_out *out)
{
    p->state = SP_END;
    out->event = SPS_REFUSED;
    out->ended = true;
    return channel_error(&p->ch, WAY_DOWN, code, out->b, sizeof out->b, &out->n);
}

enum err session_ps_feed(struct session_ps *p, struct view frame, struct enrol_out *out)
{
    uint8_t type = 0;
    struct view body;
    out_reset(out);
    if (p->state == SP_END) {
        return FAIL(E_STATE);
    }
    enum err e = wire_open(frame, &type, &body);
    if (e == E_OK && (type == WIRE_ERROR || type == WIRE_ERROR_SEALED)) {
        p->state = SP_END; /* the BTI gave up; an error is never answered */
        out->event = SPS_REFUSED;
        out->ended = true;
        return E_OK;
    }
    if (e == E_OK && p->state == SP_YO) {
        e = hello_offer(&p->ch, &p->cfg, WIRE_MODE_SESSION, frame, NULL, out);
        p->state = SP_REQUEST;
    } else if (e == E_OK && p->state == SP_REQUEST && type == WIRE_SESSION_REQUEST) {
        e = request_read(p, frame, body);
        p->state = SP_DECIDE;
        out->event = SPS_REQUEST;
    } else if (e == E_OK) {
        e = FAIL(E_STATE);
    }
    return e == E_OK || is_environment(e) ? e : end_with(p, code_of(e), out);
}

enum err session_ps_refuse(struct session_ps *p, enum wire_code code, struct enrol_out *out)
{
    out_reset(out);
    return p->state == SP_END ? FAIL(E_STATE) : end_with(p, (uint16_t)code, out);
}

const uint8_t *session_ps_bti(const struct session_ps *p)
{
    return p->bti_id;
}

const char *session_ps_gate(const struct session_ps *p)
{
    return p->gate;
}

uint64_t session_ps_counter(const struct session_ps *p)
{
    return p->counter;
}

static enum err proof_check(struct session_ps *p, const struct session_row *row)
{
    struct view m = view_from(p->msg, p->msg_n);
    uint8_t mac[SHA256_BYTES];
    uint8_t plain[CT_MAX];
    enum err e = E_OK;
    if (p->form == FORM_SIGNED) {
        return row->key.kind == KEY_P256 ? p256_verify(row->key.pub, m, p->proof) : FAIL(E_AUTH);
    }
    TRY(hmac_sha256(&row->ltk.mac_up, m, mac));
    if (!bytes_eq(mac, p->proof, sizeof mac)) {
        return FAIL(E_AUTH);
    }
    TRY(gcm_open(&row->ltk.enc_up, p->nonce, view_from(p->hash, SHA256_BYTES),
                 view_from(p->ct, p->ct_n), plain));
    TRY(plain_read(p, view_from(plain, p->ct_n - GCM_TAG_BYTES)));
    TRY(keyed(p));
out:
    wipe(plain, sizeof plain);
    return e;
}

static uint16_t judge(const struct session_ps *p, const struct session_row *row, uint64_t now_us)
{
    uint64_t apart = p->time_us > now_us ? p->time_us - now_us : now_us - p->time_us;
    if (row->revoked) {
        return CODE_REVOKED;
    }
    if (row->barred) {
        return CODE_BARRED;
    }
    bool is_next = p->counter > row->last_counter && p->counter <= SESSION_COUNTER_MAX;
    return apart > SESSION_SKEW_US || !is_next ? CODE_STALE : CODE_OK;
}

static enum err answer_send(struct session_ps *p, uint16_t code, const struct session_row *row,
                            const struct session_grant *g, struct enrol_out *out)
{
    static const uint8_t none[BTI_KID_BYTES];
    const struct enrol_texts no_gates = {0};
    uint8_t b[ENROL_TEXTS_MAX * ENROL_TEXT_BYTES + 128];
    struct wire_out w;
    bool ok = code == CODE_OK;
    fields_begin(&w, b, sizeof b);
    texts_put(&w, WF_GATES, ok ? &g->gates : &no_gates);
    wire_put_u(&w, WF_CODE, code, 2);
    wire_put_u(&w, WF_TIME, g->now_us, 8);
    wire_put_u(&w, WF_COUNTER, ok ? p->counter : row->last_counter, 8);
    wire_put(&w, WF_KID, ok ? g->kid : none, BTI_KID_BYTES);
    wire_put_u(&w, WF_LIFETIME, ok ? g->lifetime_s : 0, 4);
    return fields_send(&p->ch, WAY_DOWN, WIRE_SESSION_ANSWER, &w, out);
}

enum err session_ps_decide(struct session_ps *p, const struct session_row *row,
                           const struct session_grant *grant, uint16_t *out_code,
                           struct session_keys *out_keys, struct enrol_out *out)
{
    uint8_t hash[SHA256_BYTES];
    struct session_keys keys = {0};
    enum err e = E_OK;
    out_reset(out);
    if (p->state != SP_DECIDE) {
        return FAIL(E_STATE);
    }
    /* Nobody without the key learns whether a BTI is known, revoked or barred. */
    e = row->known ? proof_check(p, row) : E_AUTH;
    if (is_environment(e)) {
        return e;
    }
    if (e != E_OK) {
        *out_code = CODE_UNKNOWN;
        return end_with(p, CODE_UNKNOWN, out);
    }
    p->state = SP_END;
    out->ended = true;
    uint16_t code = judge(p, row, grant->now_us);
    TRY(channel_hash(&p->ch, hash));
    TRY(keys_session(&p->ch, &p->secret, hash, &keys));
    TRY(answer_send(p, code, row, grant, out));
    *out_code = code;
    if (code == CODE_OK) {
        *out_keys = keys;
    }
out:
    session_keys_wipe(&keys);
    return e;
}
