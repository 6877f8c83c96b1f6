#include "provisioning/session_bti.h"

#include <string.h>

#include "base/hpke.h"
#include "provisioning/hello.h"
#include "provisioning/proof.h"

enum sb_state { SB_START, SB_OFFER, SB_ANSWER, SB_END };

struct session_bti {
    struct session_bti_cfg cfg;
    enum sb_state state;
    struct channel ch;
    struct hello_bti hello;
    struct secret secret;
    struct session_result result;
};

enum err session_bti_new(const struct session_bti_cfg *cfg, struct session_bti **out)
{
    size_t gate = cfg->gate ? strlen(cfg->gate) : 0;
    if (gate == 0 || gate >= ENROL_TEXT_BYTES ||
        (cfg->form == FORM_SIGNED ? !cfg->k_u : cfg->form != FORM_LTK || !cfg->ltk)) {
        return FAIL(E_RANGE);
    }
    struct session_bti *b = secret_alloc(sizeof *b);
    if (!b) {
        return FAIL(E_NOMEM);
    }
    b->cfg = *cfg;
    b->hello.suites = cfg->suites.n ? cfg->suites : hello_suites(false);
    enum err e = channel_init(&b->ch);
    if (e != E_OK) {
        secret_release(b, sizeof *b);
        return e;
    }
    *out = b;
    return E_OK;
}

void session_bti_free(struct session_bti *b)
{
    if (b) {
        channel_wipe(&b->ch);
        secret_release(b, sizeof *b);
    }
}

enum err session_bti_start(struct session_bti *b, struct enrol_out *out)
{
    out_reset(out);
    if (b->state != SB_START) {
        return FAIL(E_STATE);
    }
    enum err e = hello_yo(&b->ch, &b->hello, NULL, b->cfg.random, b->cfg.random_arg, out);
    if (e == E_OK) {
        b->state = SB_OFFER;
    }
    return e;
}

static enum err plain_make(struct session_bti *b, uint8_t *buf, size_t max, size_t *out_n)
{
    struct wire_out w;
    fields_begin(&w, buf, max);
    wire_put(&w, WF_BTI_ID, b->cfg.bti_id, BTI_ID_BYTES);
    wire_put(&w, WF_SECRET, b->secret.b, b->secret.n);
    wire_put_u(&w, WF_TIME, b->cfg.now_us, 8);
    wire_put_u(&w, WF_COUNTER, b->cfg.counter, 8);
    wire_put(&w, WF_GATE_NAME, b->cfg.gate, strlen(b->cfg.gate));
    *out_n = w.n;
    return w.full ? FAIL(E_RANGE) : E_OK;
}

/* Form 1: sealed to K_PS+, then signed with K_U over label | transcript | all fields so far. */
static enum err signed_put(struct session_bti *b, struct wire_out *w, struct view pt,
                           const uint8_t hash[SHA256_BYTES])
{
    struct p256_key eph = {0};
    uint8_t enc[HPKE_ENC_BYTES];
    uint8_t ct[512];
    uint8_t sig[P256_SIG_BYTES];
    enum err e = E_OK;
    TRY(hello_random_key(b->cfg.random, b->cfg.random_arg, &eph));
    TRY(hpke_seal_with((enum hpke_aead)b->ch.suite, &eph, b->hello.ps_pub, VIEW(HPKE_INFO_SESSION),
                       view_from(hash, SHA256_BYTES), pt, enc, ct));
    wire_put(w, WF_HPKE_ENC, enc, sizeof enc);
    wire_put(w, WF_HPKE_CT, ct, pt.n + GCM_TAG_BYTES);
    wire_put_u(w, WF_FORM, FORM_SIGNED, 1);
    uint8_t msg[1024];
    TRY(request_message(hash, view_from(w->b + WIRE_HEAD, w->n - WIRE_HEAD), msg, sizeof msg, &pt));
    TRY(p256_sign(&b->cfg.k_u->d, pt, sig));
    wire_put(w, WF_SIGNATURE, sig, sizeof sig);
out:
    secret_wipe(&eph.d);
    return e;
}

/* Form 2: sealed and MACed under the long-term keys. */
static enum err ltk_put(struct session_bti *b, struct wire_out *w, struct view pt,
                        const uint8_t hash[SHA256_BYTES])
{
    uint8_t nonce[GCM_NONCE_BYTES];
    uint8_t ct[512];
    uint8_t mac[SHA256_BYTES];
    uint8_t msg[1024];
    enum err e = E_OK;
    TRY(hello_random(b->cfg.random, b->cfg.random_arg, nonce, sizeof nonce));
    TRY(gcm_seal(&b->cfg.ltk->enc_up, nonce, view_from(hash, SHA256_BYTES), pt, ct));
    wire_put(w, WF_HPKE_CT, ct, pt.n + GCM_TAG_BYTES);
    wire_put(w, WF_BTI_ID, b->cfg.bti_id, BTI_ID_BYTES);
    wire_put_u(w, WF_FORM, FORM_LTK, 1);
    wire_put(w, WF_NONCE, nonce, sizeof nonce);
    TRY(request_message(hash, view_from(w->b + WIRE_HEAD, w->n - WIRE_HEAD), msg, sizeof msg, &pt));
    TRY(hmac_sha256(&b->cfg.ltk->mac_up, pt, mac));
    wire_put(w, WF_MAC, mac, sizeof mac);
out:
    return e;
}

static enum err request_send(struct session_bti *b, struct enrol_out *out)
{
    uint8_t hash[SHA256_BYTES];
    uint8_t plain[400];
    size_t n = 0;
    struct wire_out w;
    enum err e = E_OK;
    TRY(hello_random_secret(b->cfg.random, b->cfg.random_arg, &b->secret, NONCE_BYTES));
    TRY(channel_hash(&b->ch, hash));
    TRY(plain_make(b, plain, sizeof plain, &n));
    wire_begin(&w, out->b, sizeof out->b, WIRE_SESSION_REQUEST);
    if (b->cfg.form == FORM_SIGNED) {
        TRY(signed_put(b, &w, view_from(plain, n), hash));
    } else {
        TRY(ltk_put(b, &w, view_from(plain, n), hash));
    }
    TRY(wire_end(&w));
    TRY(channel_add(&b->ch, view_from(out->b, w.n)));
    TRY(channel_hash(&b->ch, hash));
    TRY(keys_channel(&b->ch, &b->secret, hash));
    TRY(keys_session(&b->ch, &b->secret, hash, &b->result.keys));
    out->n = w.n;
out:
    wipe(plain, sizeof plain);
    return e;
}

static enum err answer_read(struct session_bti *b, struct view frame)
{
    uint8_t pt[WIRE_BODY_MAX];
    size_t n = 0;
    struct view v;
    struct view kid;
    uint64_t code = 0;
    uint64_t lifetime = 0;
    struct session_result *r = &b->result;
    enum err e = E_OK;
    TRY(channel_open(&b->ch, WAY_DOWN, frame, pt, &n));
    v = view_from(pt, n);
    TRY(texts_get(&v, WF_GATES, 4, &r->gates));
    TRY(wire_get_u(&v, WF_CODE, 2, &code));
    TRY(wire_get_u(&v, WF_TIME, 8, &r->server_us));
    TRY(wire_get_u(&v, WF_COUNTER, 8, &r->counter));
    TRY(wire_get(&v, WF_KID, BTI_KID_BYTES, BTI_KID_BYTES, &kid));
    TRY(wire_get_u(&v, WF_LIFETIME, 4, &lifetime));
    TRY(wire_finish(v));
    if (code == CODE_OK && (r->gates.n == 0 || lifetime == 0 || r->counter != b->cfg.counter)) {
        e = FAIL(E_PARSE);
        goto out;
    }
    memcpy(r->kid, kid.p, BTI_KID_BYTES);
    r->code = (uint16_t)code;
    r->lifetime_s = (uint32_t)lifetime;
out:
    wipe(pt, n);
    return e;
}

static void end(struct session_bti *b, uint16_t code, struct enrol_out *out)
{
    b->state = SB_END;
    b->result.code = code;
    if (!b->result.text[0]) {
        memcpy(b->result.text, wire_code_text(code), strlen(wire_code_text(code)) + 1);
    }
    out->event = code == CODE_OK ? SBTI_DONE : SBTI_REFUSED;
    out->ended = true;
    if (code != CODE_OK) {
        session_keys_wipe(&b->result.keys);
    }
}

enum err session_bti_feed(struct session_bti *b, struct view frame, struct enrol_out *out)
{
    uint8_t type = 0;
    uint16_t code = CODE_CRYPTO;
    struct view body;
    out_reset(out);
    if (b->state == SB_END || b->state == SB_START) {
        return FAIL(E_STATE);
    }
    enum err e = wire_open(frame, &type, &body);
    if (e == E_OK && (type == WIRE_ERROR || type == WIRE_ERROR_SEALED)) {
        /* Plain after the request: the PS could not read the secret. Nothing is believed but that
         * there is no session. */
        IGNORE(channel_error_read(&b->ch, WAY_DOWN, frame, &code), "ends all the same");
        end(b, code, out);
        return E_OK;
    }
    if (e == E_OK && b->state == SB_OFFER) {
        e = hello_offer_read(&b->ch, &b->hello, b->cfg.root, b->cfg.ps_name, b->cfg.now_us, frame,
                             b->result.text);
        if (e == E_OK) {
            e = request_send(b, out);
        }
        if (e == E_OK) {
            b->state = SB_ANSWER;
            return E_OK;
        }
    } else if (e == E_OK) {
        e = type == WIRE_SESSION_ANSWER ? answer_read(b, frame) : FAIL(E_STATE);
        if (e == E_OK) {
            end(b, b->result.code, out);
            return E_OK;
        }
    }
    if (is_environment(e)) {
        return e;
    }
    code = b->result.text[0] ? CODE_CERTIFICATE : code_of(e);
    enum err sent = channel_error(&b->ch, WAY_UP, code, out->b, sizeof out->b, &out->n);
    end(b, code, out);
    return sent;
}

const struct session_result *session_bti_result(const struct session_bti *b)
{
    return &b->result;
}
