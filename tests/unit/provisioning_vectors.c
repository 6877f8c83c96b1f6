/* Vectors of the second implementation: both ends' machines give its frames octet for octet, and
 * answer what it says must be refused with its error frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "provisioning/hello.h"
#include "provisioning/proof.h"
#include "provisioning/session_bti.h"
#include "tests/unit/vectors.h"

static struct vectors v;

/* ---- what a case gives -------------------------------------------------------------------------
 */
/* Random octets out of one string, front to back. */
static enum err take(void *arg, void *dst, size_t n)
{
    struct view *left = arg;
    if (n > left->n) {
        return FAIL(E_CRYPTO);
    }
    memcpy(dst, left->p, n);
    *left = view_sub(*left, n, left->n);
    return E_OK;
}

struct world { /* the parts that enrolments and sessions share */
    struct pki_root *root;
    struct pki_chain chain;
    struct p256_key k_ps;
    struct view bti_random, ps_random;
    struct enrol_ps_cfg ps_cfg;
};

static void world_open(struct world *w)
{
    struct secret d;
    json_t *chain = vector_get(&v, v.in, "chain");
    memset(w, 0, sizeof *w);
    assert_int_equal(pki_root_parse(view_of(vector_text(&v, v.in, "root_pem")), &w->root), E_OK);
    w->chain.n = json_array_size(chain);
    assert_true(w->chain.n <= PKI_CHAIN_MAX_CERTS);
    for (size_t i = 0; i < w->chain.n; i++) {
        w->chain.der[i] = vector_hex(&v, json_string_value(json_array_get(chain, i)));
    }
    vector_secret(&v, v.in, "k_ps_d", &d);
    assert_int_equal(p256_from_private(&d, &w->k_ps), E_OK);
    w->bti_random = vector_octets(&v, v.in, "bti_random");
    w->ps_random = vector_octets(&v, v.in, "ps_random");
    w->ps_cfg = (struct enrol_ps_cfg){
        .chain = &w->chain, .key = &w->k_ps, .random = take, .random_arg = &w->ps_random};
}

static void world_close(struct world *w)
{
    pki_root_free(w->root);
}

static void texts_of(const char *key, struct enrol_texts *out)
{
    json_t *list = vector_get(&v, v.in, key);
    out->n = json_array_size(list);
    assert_true(out->n <= ENROL_TEXTS_MAX);
    for (size_t i = 0; i < out->n; i++) {
        struct view text = view_of(json_string_value(json_array_get(list, i)));
        assert_int_equal(view_to_cstr(text, out->v[i], ENROL_TEXT_BYTES), E_OK);
    }
}

static void same_texts(const struct enrol_texts *a, const struct enrol_texts *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_string_equal(a->v[i], b->v[i]);
    }
}

/* The frame of the vector, checked for its type. */
static struct view frame_at(size_t i, enum wire_type type)
{
    json_t *f = json_array_get(vector_get(&v, v.out, "frames"), i);
    assert_int_equal(vector_u64(&v, f, "type"), type);
    return vector_octets(&v, f, "hex");
}

static void same_frame(size_t i, enum wire_type type, const struct enrol_out *got)
{
    char what[32];
    json_t *f = json_array_get(vector_get(&v, v.out, "frames"), i);
    assert_int_equal(vector_u64(&v, f, "type"), type);
    (void)snprintf(what, sizeof what, "frame %zu", i);
    vector_same_hex(&v, what, view_from(got->b, got->n), vector_text(&v, f, "hex"));
}

static struct enrol_out a, b; /* of the BTI, of the PS */

/* ---- enrolment ---------------------------------------------------------------------------------
 */
struct enrol_run {
    struct world w;
    struct enrol_ps *ps;
    struct enrol_bti *bti;
    json_t *verdicts;
    uint64_t kind;
};

static void enrol_open(struct enrol_run *r)
{
    struct enrol_bti_cfg c = {.random = take, .random_arg = &r->w.bti_random};
    world_open(&r->w);
    const char *name = vector_text(&v, v.in, "ps_name");
    struct view ip = vector_octets(&v, v.in, "ip");
    c.root = r->w.root;
    c.ps_name = name[0] ? name : NULL;
    c.now_us = vector_u64(&v, v.in, "now_us");
    c.call_id = vector_text(&v, v.in, "call_id");
    c.suites = vector_octets(&v, v.in, "suites");
    memcpy(c.info.mac, vector_fixed(&v, v.in, "mac_addr", 6), 6);
    assert_true(ip.n <= sizeof c.info.ip);
    memcpy(c.info.ip, ip.p, ip.n);
    c.info.ip_bytes = ip.n;
    (void)snprintf(c.info.model, sizeof c.info.model, "%s", vector_text(&v, v.in, "model"));
    (void)snprintf(c.info.software, sizeof c.info.software, "%s",
                   vector_text(&v, v.in, "software"));
    r->verdicts = vector_get(&v, v.in, "verdicts");
    r->kind = vector_u64(&v, v.in, "key_kind");
    assert_int_equal(enrol_ps_new(&r->w.ps_cfg, &r->ps), E_OK);
    assert_int_equal(enrol_bti_new(&c, &r->bti), E_OK);
}

static void enrol_close(struct enrol_run *r)
{
    enrol_ps_free(r->ps);
    enrol_bti_free(r->bti);
    world_close(&r->w);
}

static void verdict_at(const struct enrol_run *r, size_t i, int *out_verdict, int *out_left)
{
    json_t *pair = json_array_get(r->verdicts, i);
    *out_verdict = (int)json_integer_value(json_array_get(pair, 0));
    *out_left = (int)json_integer_value(json_array_get(pair, 1));
}

static void ps_verdict(struct enrol_run *r, size_t i)
{
    int verdict = 0;
    int left = 0;
    verdict_at(r, i, &verdict, &left);
    enum wire_verdict w = (enum wire_verdict)verdict;
    assert_int_equal(enrol_ps_auth_result(r->ps, w, (uint8_t)left, &b), E_OK);
}

static void bti_user(struct enrol_run *r)
{
    struct secret k_u;
    struct p256_key key = {0};
    vector_secret(&v, v.in, "k_u", &k_u);
    if (r->kind == KEY_P256) {
        assert_int_equal(p256_from_private(&k_u, &key), E_OK);
        assert_int_equal(enrol_bti_user_key(r->bti, &key, &a), E_OK);
    } else {
        assert_int_equal(enrol_bti_user_secret(r->bti, &k_u, &a), E_OK);
    }
}

static void same_audio(const struct audio_keys *k)
{
    vector_same_secret(&v, "audio_up_key", &k->up_key);
    vector_same_secret(&v, "audio_up_salt", &k->up_salt);
    vector_same_secret(&v, "audio_down_key", &k->down_key);
    vector_same_secret(&v, "audio_down_salt", &k->down_salt);
}

static void same_ltk(const struct ltk *l)
{
    const struct secret *parts[] = {&l->enc_up, &l->mac_up, &l->enc_down, &l->mac_down};
    uint8_t all[64];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(parts[i]->n, 16);
        memcpy(all + 16 * i, parts[i]->b, 16);
    }
    vector_same(&v, "ltk", all, sizeof all);
}

/* YO to PROOF; each end is fed the frames of the vector. */
static void steps_302_to_305(struct enrol_run *r)
{
    struct audio_keys k;
    assert_int_equal(enrol_bti_start(r->bti, &a), E_OK);
    same_frame(0, WIRE_YO, &a);
    assert_int_equal(enrol_ps_feed(r->ps, frame_at(0, WIRE_YO), &b), E_OK);
    assert_int_equal(b.event, PS_HELLO);
    same_frame(1, WIRE_OFFER, &b);
    assert_string_equal(enrol_ps_call_id(r->ps), vector_text(&v, v.in, "call_id"));
    assert_int_equal(enrol_bti_feed(r->bti, frame_at(1, WIRE_OFFER), &a), E_OK);
    same_frame(2, WIRE_KEYS, &a);
    assert_int_equal(enrol_ps_feed(r->ps, frame_at(2, WIRE_KEYS), &b), E_OK);
    assert_int_equal(b.event, PS_AUDIO_READY);
    same_frame(3, WIRE_PROOF, &b);
    assert_int_equal(enrol_bti_feed(r->bti, frame_at(3, WIRE_PROOF), &a), E_OK);
    assert_int_equal(a.event, BTI_AUDIO_READY);
    assert_int_equal(enrol_ps_audio(r->ps, &k), E_OK);
    same_audio(&k);
    assert_int_equal(enrol_bti_audio(r->bti, &k), E_OK);
    same_audio(&k);
}

static void same_info(const struct bti_info *i)
{
    struct view ip = vector_octets(&v, v.in, "ip");
    assert_memory_equal(i->mac, vector_fixed(&v, v.in, "mac_addr", 6), 6);
    assert_true(view_eq(view_from(i->ip, i->ip_bytes), ip));
    assert_string_equal(i->model, vector_text(&v, v.in, "model"));
    assert_string_equal(i->software, vector_text(&v, v.in, "software"));
}

static void same_user(const struct enrol_run *r, const struct user_key *u)
{
    struct secret k_u;
    struct p256_key key = {0};
    vector_secret(&v, v.in, "k_u", &k_u);
    assert_int_equal(u->kind, r->kind);
    if (r->kind == KEY_P256) {
        assert_int_equal(p256_from_private(&k_u, &key), E_OK);
        assert_memory_equal(u->pub, key.pub, sizeof key.pub);
    } else {
        assert_true(secret_eq(&u->shared, &k_u));
    }
}

static void bti_ends(struct enrol_run *r, const struct enrol_ack *ack, struct view done)
{
    struct ltk l;
    assert_int_equal(enrol_bti_feed(r->bti, done, &a), E_OK);
    assert_int_equal(a.event, BTI_DONE);
    const struct enrol_ack *got = enrol_bti_result(r->bti);
    assert_memory_equal(got->bti_id, ack->bti_id, BTI_ID_BYTES);
    same_texts(&got->numbers, &ack->numbers);
    same_texts(&got->gates, &ack->gates);
    same_texts(&got->servers, &ack->servers);
    assert_int_equal(enrol_bti_ltk(r->bti, &l), E_OK);
    same_ltk(&l);
}

/* A signature differs each time: then the PS alone goes on, with the vector's USER_KEY. */
static void step_310(struct enrol_run *r, size_t i)
{
    struct enrol_ack ack = {0};
    struct ltk l;
    memcpy(ack.bti_id, vector_fixed(&v, v.in, "bti_id", BTI_ID_BYTES), BTI_ID_BYTES);
    texts_of("numbers", &ack.numbers);
    texts_of("gates", &ack.gates);
    texts_of("servers", &ack.servers);
    bti_user(r);
    assert_int_equal(a.n, frame_at(i, WIRE_USER_KEY).n);
    if (r->kind == KEY_SYMMETRIC) {
        same_frame(i, WIRE_USER_KEY, &a);
    }
    assert_int_equal(enrol_ps_feed(r->ps, frame_at(i, WIRE_USER_KEY), &b), E_OK);
    assert_int_equal(b.event, PS_USER_KEY);
    same_user(r, enrol_ps_user_key(r->ps));
    assert_int_equal(enrol_ps_ltk(r->ps, &l), E_OK);
    same_ltk(&l);
    assert_int_equal(enrol_ps_acknowledge(r->ps, &ack, &b), E_OK);
    same_frame(i + 1, WIRE_DONE, &b);
    if (r->kind == KEY_SYMMETRIC) {
        bti_ends(r, &ack, frame_at(i + 1, WIRE_DONE));
    }
    assert_int_equal(r->w.bti_random.n, 0);
    assert_int_equal(r->w.ps_random.n, 0);
}

static void enrolments(void **state)
{
    (void)state;
    vectors_load(&v, "enrol");
    VECTORS_EACH(&v)
    {
        struct enrol_run r = {0};
        size_t i = 4;
        enrol_open(&r);
        steps_302_to_305(&r);
        same_info(enrol_ps_info(r.ps));
        for (size_t k = 0; k < json_array_size(r.verdicts); k++, i++) {
            int verdict = 0;
            int left = 0;
            uint8_t got = 0;
            verdict_at(&r, k, &verdict, &left);
            ps_verdict(&r, k);
            same_frame(i, WIRE_AUTH_RESULT, &b);
            assert_int_equal(enrol_bti_feed(r.bti, frame_at(i, WIRE_AUTH_RESULT), &a), E_OK);
            assert_int_equal(a.event, BTI_AUTH_RESULT);
            assert_int_equal(enrol_bti_verdict(r.bti, &got), verdict);
            assert_int_equal(got, left);
        }
        step_310(&r, i);
        enrol_close(&r);
    }
    vectors_free(&v);
}

/* ---- sessions ----------------------------------------------------------------------------------
 */
struct session_run {
    struct world w;
    struct session_ps *ps;
    struct session_bti *bti;
    struct session_row row;
    struct session_grant grant;
    struct p256_key k_u;
    uint64_t form;
};

static void row_of(struct session_run *r)
{
    const char *state = vector_text(&v, v.in, "state");
    r->row = (struct session_row){.known = true,
                                  .revoked = strcmp(state, "revoked") == 0,
                                  .barred = strcmp(state, "barred") == 0,
                                  .last_counter = vector_u64(&v, v.in, "last_counter")};
    if (r->form == FORM_SIGNED) {
        struct secret d;
        vector_secret(&v, v.in, "k_u_d", &d);
        assert_int_equal(p256_from_private(&d, &r->k_u), E_OK);
        r->row.key.kind = KEY_P256;
        memcpy(r->row.key.pub, r->k_u.pub, sizeof r->k_u.pub);
    } else {
        const uint8_t *ltk = vector_fixed(&v, v.in, "ltk", 64);
        r->row.key.kind = KEY_SYMMETRIC;
        assert_int_equal(secret_set(&r->row.ltk.enc_up, ltk, 16), E_OK);
        assert_int_equal(secret_set(&r->row.ltk.mac_up, ltk + 16, 16), E_OK);
    }
    memcpy(r->grant.kid, vector_fixed(&v, v.in, "kid", BTI_KID_BYTES), BTI_KID_BYTES);
    r->grant.lifetime_s = (uint32_t)vector_u64(&v, v.in, "lifetime");
    r->grant.now_us = vector_u64(&v, v.in, "server_us");
    texts_of("gates", &r->grant.gates);
}

static void session_open(struct session_run *r)
{
    world_open(&r->w);
    r->form = vector_u64(&v, v.in, "form");
    row_of(r);
    struct session_bti_cfg c = {.root = r->w.root,
                                .ps_name = vector_text(&v, v.in, "ps_name"),
                                .now_us = vector_u64(&v, v.in, "now_us"),
                                .counter = vector_u64(&v, v.in, "counter"),
                                .gate = vector_text(&v, v.in, "gate_name"),
                                .form = (enum wire_form)r->form,
                                .k_u = &r->k_u,
                                .ltk = &r->row.ltk,
                                .suites = vector_octets(&v, v.in, "suites"),
                                .random = take,
                                .random_arg = &r->w.bti_random};
    memcpy(c.bti_id, vector_fixed(&v, v.in, "bti_id", BTI_ID_BYTES), BTI_ID_BYTES);
    assert_int_equal(session_ps_new(&r->w.ps_cfg, &r->ps), E_OK);
    assert_int_equal(session_bti_new(&c, &r->bti), E_OK);
}

static void session_close(struct session_run *r)
{
    session_ps_free(r->ps);
    session_bti_free(r->bti);
    world_close(&r->w);
}

static void same_session_keys(const struct session_keys *k)
{
    vector_same_secret(&v, "session_mac_up", &k->mac_up);
    vector_same_secret(&v, "session_mac_down", &k->mac_down);
    vector_same_secret(&v, "session_enc_up", &k->enc_up);
    vector_same_secret(&v, "session_enc_down", &k->enc_down);
    vector_same_secret(&v, "session_tls_psk", &k->tls_psk);
    vector_same_secret(&v, "session_digest", &k->digest);
}

/* Feeds the PS the request and answers it as the database would have it. */
static uint16_t ps_decides(struct session_run *r, struct view request, struct session_keys *out)
{
    uint16_t code = CODE_OK;
    assert_int_equal(session_ps_feed(r->ps, request, &b), E_OK);
    if (b.event != SPS_REQUEST) {
        assert_true(b.ended);
        return UINT16_MAX;
    }
    const uint8_t *id = vector_fixed(&v, v.in, "bti_id", BTI_ID_BYTES);
    r->row.known = memcmp(session_ps_bti(r->ps), id, BTI_ID_BYTES) == 0;
    assert_int_equal(session_ps_decide(r->ps, &r->row, &r->grant, &code, out, &b), E_OK);
    assert_true(b.ended);
    return code;
}

static void bti_has_session(struct session_run *r, uint64_t code)
{
    assert_int_equal(session_bti_feed(r->bti, frame_at(3, WIRE_SESSION_ANSWER), &a), E_OK);
    assert_int_equal(a.event, code == CODE_OK ? SBTI_DONE : SBTI_REFUSED);
    assert_true(a.ended && a.n == 0);
    const struct session_result *got = session_bti_result(r->bti);
    assert_int_equal(got->code, code);
    assert_true(got->server_us == r->grant.now_us);
    if (code == CODE_OK) {
        assert_memory_equal(got->kid, r->grant.kid, BTI_KID_BYTES);
        assert_int_equal(got->lifetime_s, r->grant.lifetime_s);
        same_texts(&got->gates, &r->grant.gates);
        same_session_keys(&got->keys);
    } else {
        assert_true(got->counter == r->row.last_counter);
        assert_int_equal(got->keys.mac_up.n, 0);
    }
}

static void sessions(void **state)
{
    (void)state;
    vectors_load(&v, "session");
    VECTORS_EACH(&v)
    {
        struct session_run r = {0};
        struct session_keys k = {0};
        uint64_t code = vector_u64(&v, v.out, "code");
        session_open(&r);
        assert_int_equal(session_bti_start(r.bti, &a), E_OK);
        same_frame(0, WIRE_YO, &a);
        assert_int_equal(session_ps_feed(r.ps, frame_at(0, WIRE_YO), &b), E_OK);
        same_frame(1, WIRE_OFFER, &b);
        assert_int_equal(session_bti_feed(r.bti, frame_at(1, WIRE_OFFER), &a), E_OK);
        assert_int_equal(a.n, frame_at(2, WIRE_SESSION_REQUEST).n);
        assert_int_equal(ps_decides(&r, frame_at(2, WIRE_SESSION_REQUEST), &k), code);
        same_frame(3, WIRE_SESSION_ANSWER, &b);
        assert_string_equal(session_ps_gate(r.ps), vector_text(&v, v.in, "gate_name"));
        if (code == CODE_OK) {
            same_session_keys(&k);
            assert_true(session_ps_counter(r.ps) == vector_u64(&v, v.in, "counter"));
        }
        if (r.form == FORM_LTK) { /* a signature differs each time, and all behind it */
            same_frame(2, WIRE_SESSION_REQUEST, &a);
            bti_has_session(&r, code);
        }
        assert_int_equal(r.w.bti_random.n, 0);
        assert_int_equal(r.w.ps_random.n, 0);
        session_close(&r);
    }
    vectors_free(&v);
}

/* ---- what must be refused ----------------------------------------------------------------------
 */
struct refused { /* one row, out of the file that v leaves for the case that it builds upon */
    const char *name, *step;
    bool at_bti;
    struct view frame;
    uint64_t code;
    const char *answer;
};

static void judge(const struct refused *x, bool refused, const struct enrol_out *got)
{
    v.name = x->name;
    if (refused != (x->code != CODE_OK)) {
        fail_msg("%s: taken the other way", x->name);
    }
    if (refused) {
        assert_true(got->ended);
        vector_same_hex(&v, "answer", view_from(got->b, got->n), x->answer);
    }
}

/* The daemon's part: which machine a YO is for, and whether its call is there. */
static void ps_hears_yo(struct enrol_run *r, const struct refused *x)
{
    enum wire_mode mode = WIRE_MODE_ENROL;
    if (hello_mode(x->frame, &mode) == E_OK && mode == WIRE_MODE_SESSION) {
        struct session_ps *s = NULL;
        assert_int_equal(session_ps_new(&r->w.ps_cfg, &s), E_OK);
        assert_int_equal(session_ps_feed(s, x->frame, &b), E_OK);
        judge(x, b.event == SPS_REFUSED, &b);
        session_ps_free(s);
        return;
    }
    assert_int_equal(enrol_ps_feed(r->ps, x->frame, &b), E_OK);
    if (b.event == PS_HELLO &&
        strcmp(enrol_ps_call_id(r->ps), vector_text(&v, v.in, "call_id")) != 0) {
        assert_int_equal(enrol_ps_refuse(r->ps, CODE_CALL, &b), E_OK);
    }
    judge(x, b.event == PS_REFUSED, &b);
}

static void ps_hears(struct enrol_run *r, const struct refused *x)
{
    if (strcmp(x->step, "yo") == 0) {
        ps_hears_yo(r, x);
        return;
    }
    assert_int_equal(enrol_ps_feed(r->ps, frame_at(0, WIRE_YO), &b), E_OK);
    if (strcmp(x->step, "user_key") == 0) {
        assert_int_equal(enrol_ps_feed(r->ps, frame_at(2, WIRE_KEYS), &b), E_OK);
        ps_verdict(r, 0);
    }
    assert_int_equal(enrol_ps_feed(r->ps, x->frame, &b), E_OK);
    judge(x, b.event == PS_REFUSED, &b);
    assert_true(x->code == CODE_OK || enrol_ps_feed(r->ps, x->frame, &b) == E_STATE);
}

static void bti_hears(struct enrol_run *r, const struct refused *x)
{
    static const struct {
        const char *step;
        size_t frame;
        enum wire_type type;
    } steps[] = {{"offer", 1, WIRE_OFFER},
                 {"proof", 3, WIRE_PROOF},
                 {"auth_result", 4, WIRE_AUTH_RESULT},
                 {"done", 6, WIRE_DONE}};
    const char *text = NULL;
    size_t i = 0;
    assert_int_equal(enrol_bti_start(r->bti, &a), E_OK);
    for (; strcmp(steps[i].step, x->step) != 0; i++) {
        assert_true(i + 1 < sizeof steps / sizeof *steps);
        assert_int_equal(enrol_bti_feed(r->bti, frame_at(steps[i].frame, steps[i].type), &a), E_OK);
        assert_false(a.ended);
        if (steps[i].type == WIRE_AUTH_RESULT) {
            bti_user(r);
        }
    }
    assert_int_equal(enrol_bti_feed(r->bti, x->frame, &a), E_OK);
    judge(x, a.event == BTI_REFUSED, &a);
    assert_true(a.event != BTI_REFUSED || enrol_bti_refusal(r->bti, &text) == x->code);
}

static void session_end_hears(struct session_run *r, const struct refused *x)
{
    struct session_keys k = {0};
    if (x->at_bti) {
        assert_int_equal(session_bti_start(r->bti, &a), E_OK);
        assert_int_equal(session_bti_feed(r->bti, frame_at(1, WIRE_OFFER), &a), E_OK);
        assert_int_equal(session_bti_feed(r->bti, x->frame, &a), E_OK);
        judge(x, a.event == SBTI_REFUSED, &a);
        assert_int_equal(session_bti_result(r->bti)->code, x->code);
        assert_true(x->code == CODE_OK || session_bti_result(r->bti)->keys.mac_up.n == 0);
        return;
    }
    assert_int_equal(session_ps_feed(r->ps, frame_at(0, WIRE_YO), &b), E_OK);
    uint16_t code = ps_decides(r, x->frame, &k);
    judge(x, code != CODE_OK, &b);
    assert_true(code == UINT16_MAX || code == x->code);
    assert_int_equal(k.mac_up.n, code == CODE_OK ? 32 : 0);
}

/* rows: refused.json; v: the file of the runs that they build upon. */
static void refuse_all(struct vectors *rows, const char *file)
{
    vectors_load(&v, file);
    for (rows->at = 0; vectors_case(rows); rows->at++) {
        struct refused x = {.name = rows->name,
                            .step = vector_text(rows, rows->in, "step"),
                            .frame = vector_octets(rows, rows->in, "frame"),
                            .code = vector_u64(rows, rows->out, "code"),
                            .answer = vector_text(rows, rows->out, "answer")};
        x.at_bti = strcmp(vector_text(rows, rows->in, "side"), "bti") == 0;
        if (strcmp(vector_text(rows, rows->in, "file"), file) != 0) {
            continue;
        }
        vectors_find(&v, vector_text(rows, rows->in, "case"));
        if (strcmp(file, "enrol") == 0) {
            struct enrol_run r = {0};
            enrol_open(&r);
            if (x.at_bti) {
                bti_hears(&r, &x);
            } else {
                ps_hears(&r, &x);
            }
            enrol_close(&r);
        } else {
            struct session_run r = {0};
            session_open(&r);
            session_end_hears(&r, &x);
            session_close(&r);
        }
    }
    vectors_free(&v);
}

static void refused(void **state)
{
    (void)state;
    static struct vectors rows;
    vectors_load(&rows, "refused");
    refuse_all(&rows, "enrol");
    refuse_all(&rows, "session");
    vectors_free(&rows);
}

/* ---- parts -------------------------------------------------------------------------------------
 */
static void seals(void **state)
{
    (void)state;
    vectors_load(&v, "seal");
    VECTORS_EACH(&v)
    {
        struct aead_way w = {.count = vector_u64(&v, v.in, "counter")};
        uint8_t frame[512];
        uint8_t plain[512];
        const uint8_t *t = vector_fixed(&v, v.in, "t", SHA256_BYTES);
        uint8_t type = (uint8_t)vector_u64(&v, v.in, "type");
        struct view fields = vector_octets(&v, v.in, "fields");
        struct wire_out o;
        vector_secret(&v, v.in, "key", &w.key);
        memcpy(w.iv, vector_fixed(&v, v.in, "iv", GCM_NONCE_BYTES), GCM_NONCE_BYTES);
        struct aead_way other = w;
        assert_int_equal(aead_seal(&w, t, type, fields, plain), E_OK);
        wire_begin(&o, frame, sizeof frame, (enum wire_type)type);
        wire_raw(&o, plain, fields.n + GCM_TAG_BYTES);
        assert_int_equal(wire_end(&o), E_OK);
        vector_same(&v, "frame", frame, o.n);
        struct view body = view_from(frame + WIRE_HEAD, o.n - WIRE_HEAD);
        assert_int_equal(aead_open(&other, t, (uint8_t)(type + 1), body, plain), E_AUTH);
        assert_int_equal(aead_open(&other, t, type, body, plain), E_OK);
        assert_memory_equal(plain, fields.p, fields.n);
        assert_true(w.count == other.count);
        assert_int_equal(aead_open(&other, t, type, body, plain), E_AUTH); /* the next number */
    }
    vectors_free(&v);
}

static void possession(void **state)
{
    (void)state;
    vectors_load(&v, "possession");
    VECTORS_EACH(&v)
    {
        struct user_key u = {.kind = (enum wire_key_kind)vector_u64(&v, v.in, "key_kind")};
        struct p256_key key = {0};
        struct secret k_u;
        uint8_t made[P256_SIG_BYTES];
        size_t n = 0;
        uint8_t t[SHA256_BYTES];
        const uint8_t *n1 = vector_fixed(&v, v.in, "n1", NONCE_BYTES);
        const uint8_t *n2 = vector_fixed(&v, v.in, "n2", NONCE_BYTES);
        struct view given = vector_octets(&v, v.out, "possession");
        memcpy(t, vector_fixed(&v, v.in, "t", SHA256_BYTES), sizeof t);
        vector_secret(&v, v.in, "k_u", &k_u);
        if (u.kind == KEY_P256) {
            assert_int_equal(p256_from_private(&k_u, &key), E_OK);
            memcpy(u.pub, key.pub, sizeof u.pub);
        } else {
            u.shared = k_u;
        }
        assert_int_equal(possession_check(&u, t, n1, n2, given), E_OK);
        assert_int_equal(possession_make(&u, &key.d, t, n1, n2, made, &n), E_OK);
        assert_int_equal(n, given.n);
        assert_int_equal(possession_check(&u, t, n1, n2, view_from(made, n)), E_OK);
        if (u.kind == KEY_SYMMETRIC) {
            vector_same(&v, "possession", made, n);
        }
        t[0] ^= 1;
        assert_int_equal(possession_check(&u, t, n1, n2, given), E_AUTH);
        t[0] ^= 1;
        assert_int_equal(possession_check(&u, t, n2, n1, given), E_AUTH);
    }
    vectors_free(&v);
}

/* What may be offered: the vectors give 01, 0102, 0201; the rest is a table. */
static void suites_offered(void **state)
{
    (void)state;
    const struct {
        struct view suites;
        bool only_256;
        enum err want;
        const char *field;
        size_t n;
    } rows[] = {
        {VIEW(""), false, E_OK, "\x80\x02\x00\x02\x02\x01", 6},
        {VIEW(""), true, E_OK, "\x80\x02\x00\x01\x02", 5},
        {VIEW("\x01"), true, E_OK, "\x80\x02\x00\x01\x01", 5},
        {VIEW("\x07\x02\x01"), false, E_OK, "\x80\x02\x00\x03\x07\x02\x01", 7},
        {VIEW("\1\2\3\4\5\6\7\x08"), false, E_OK, "\x80\x02\x00\x08\1\2\3\4\5\6\7\x08", 12},
        {VIEW("\1\2\3\4\5\6\7\x08\x09"), false, E_RANGE, "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct enrol_bti_cfg c = {
            .call_id = "c", .suites = rows[i].suites, .only_256 = rows[i].only_256};
        struct enrol_bti *bti = NULL;
        assert_int_equal(enrol_bti_new(&c, &bti), E_OK);
        assert_int_equal(enrol_bti_start(bti, &a), rows[i].want);
        assert_memory_equal(a.b + WIRE_HEAD + 5, rows[i].field, rows[i].n);
        enrol_bti_free(bti);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enrolments),     cmocka_unit_test(sessions), cmocka_unit_test(refused),
        cmocka_unit_test(suites_offered), cmocka_unit_test(seals),    cmocka_unit_test(possession),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
