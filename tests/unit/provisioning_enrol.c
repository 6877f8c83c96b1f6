/* Both ends of an enrolment and of a session against each other; every octet of every frame
 * altered once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "provisioning/enrol_bti.h"
#include "provisioning/session_bti.h"

#define NOW   1700000000000000ull
#define NAME  "ps.example"
#define GATES "192.0.2.1:5060"

static struct {
    char dir[64], root_pem[96], ps_pem[96], other_pem[96];
    struct p256_key root_key, ps_key, user;
    struct pki_root *root, *other;
    struct pki_chain chain;
} t;

static int setup(void **state)
{
    (void)state;
    struct pki_subject ca = {"root", NULL, NOW - 1000000, 100};
    struct pki_subject ps = {"ps", NAME, NOW - 1000000, 3};
    struct p256_key k;
    strcpy(t.dir, "/tmp/enrolXXXXXX");
    assert_non_null(mkdtemp(t.dir));
    snprintf(t.root_pem, sizeof t.root_pem, "%s/root.pem", t.dir);
    snprintf(t.ps_pem, sizeof t.ps_pem, "%s/ps.pem", t.dir);
    snprintf(t.other_pem, sizeof t.other_pem, "%s/other.pem", t.dir);
    assert_int_equal(p256_generate(&t.root_key), E_OK);
    assert_int_equal(p256_generate(&t.ps_key), E_OK);
    assert_int_equal(p256_generate(&t.user), E_OK);
    assert_int_equal(p256_generate(&k), E_OK);
    assert_int_equal(pki_make_root(&ca, &t.root_key, t.root_pem), E_OK);
    assert_int_equal(pki_make_root(&ca, &k, t.other_pem), E_OK);
    assert_int_equal(pki_issue(t.root_pem, &t.root_key, &ps, PKI_PS, t.ps_key.pub, t.ps_pem), E_OK);
    assert_int_equal(pki_root_load(t.root_pem, &t.root), E_OK);
    assert_int_equal(pki_root_load(t.other_pem, &t.other), E_OK);
    assert_int_equal(pki_chain_load(t.ps_pem, &t.chain), E_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_root_free(t.root);
    pki_root_free(t.other);
    unlink(t.root_pem);
    unlink(t.ps_pem);
    unlink(t.other_pem);
    rmdir(t.dir);
    return 0;
}

static struct view sent(const struct enrol_out *o)
{
    return view_from(o->b, o->n);
}

struct run { /* flip: alter octet `at` of frame number `frame` on its way */
    int frame;
    size_t at;
    size_t lengths[7];
    bool done;
};

static struct enrol_out a, b;

static struct view carry(struct run *r, int frame, struct enrol_out *o)
{
    r->lengths[frame] = o->n;
    if (r->frame == frame) {
        o->b[r->at] ^= 0x80;
    }
    return sent(o);
}

static void enrol(struct run *r, const struct pki_root *root, const char *name, uint64_t now,
                  const struct p256_key *ps_key, bool symmetric)
{
    struct enrol_ps_cfg pc = {.chain = &t.chain, .key = ps_key};
    struct enrol_bti_cfg bc = {.root = root,
                               .ps_name = name,
                               .now_us = now,
                               .call_id = "c1@x",
                               .info = {.ip_bytes = 4, .model = "m", .software = "s"}};
    struct enrol_ack ack = {.gates = {1, {GATES}}, .numbers = {1, {"+12015550100"}}};
    struct enrol_ps *ps = NULL;
    struct enrol_bti *bti = NULL;
    struct audio_keys x, y;
    struct ltk l, m;
    struct secret s = {.n = 64};
    r->done = false;
    assert_int_equal(enrol_ps_new(&pc, &ps), E_OK);
    assert_int_equal(enrol_bti_new(&bc, &bti), E_OK);
    assert_int_equal(enrol_bti_start(bti, &a), E_OK);
    assert_int_equal(enrol_ps_feed(ps, carry(r, 0, &a), &b), E_OK);
    if (b.event != PS_HELLO) {
        goto out;
    }
    assert_int_equal(enrol_bti_feed(bti, carry(r, 1, &b), &a), E_OK);
    if (a.event == BTI_REFUSED) {
        goto out;
    }
    assert_int_equal(enrol_ps_feed(ps, carry(r, 2, &a), &b), E_OK);
    if (b.event != PS_AUDIO_READY) {
        goto out;
    }
    assert_string_equal(enrol_ps_call_id(ps), "c1@x");
    assert_int_equal(enrol_bti_feed(bti, carry(r, 3, &b), &a), E_OK);
    if (a.event != BTI_AUDIO_READY) {
        goto out;
    }
    assert_int_equal(enrol_ps_audio(ps, &x), E_OK);
    assert_int_equal(enrol_bti_audio(bti, &y), E_OK);
    assert_true(secret_eq(&x.up_key, &y.up_key) && secret_eq(&x.down_salt, &y.down_salt));
    assert_int_equal(enrol_ps_auth_result(ps, VERDICT_ACCEPTED, 2, &b), E_OK);
    assert_int_equal(enrol_bti_feed(bti, carry(r, 4, &b), &a), E_OK);
    if (a.event != BTI_AUTH_RESULT) {
        goto out;
    }
    assert_int_equal(symmetric ? enrol_bti_user_secret(bti, &s, &a)
                               : enrol_bti_user_key(bti, &t.user, &a),
                     E_OK);
    assert_int_equal(enrol_ps_feed(ps, carry(r, 5, &a), &b), E_OK);
    if (b.event != PS_USER_KEY) {
        goto out;
    }
    assert_int_equal(enrol_ps_acknowledge(ps, &ack, &b), E_OK);
    assert_int_equal(enrol_bti_feed(bti, carry(r, 6, &b), &a), E_OK);
    r->done = a.event == BTI_DONE;
    assert_int_equal(enrol_ps_ltk(ps, &l), E_OK);
    assert_int_equal(enrol_bti_ltk(bti, &m), E_OK);
    assert_true(secret_eq(&l.enc_up, &m.enc_up) && secret_eq(&l.mac_down, &m.mac_down));
out:
    enrol_ps_free(ps);
    enrol_bti_free(bti);
}

static void enrolment_completes(void **state)
{
    (void)state;
    struct run r = {.frame = -1};
    enrol(&r, t.root, NAME, NOW, &t.ps_key, false);
    assert_true(r.done);
    enrol(&r, t.root, NAME, NOW, &t.ps_key, true);
    assert_true(r.done);
}

static void every_octet_matters(void **state)
{
    (void)state;
    struct run whole = {.frame = -1};
    enrol(&whole, t.root, NAME, NOW, &t.ps_key, false);
    for (int f = 0; f < 7; f++) {
        for (size_t i = 0; i < whole.lengths[f]; i++) {
            struct run r = {.frame = f, .at = i};
            enrol(&r, t.root, NAME, NOW, &t.ps_key, false);
            assert_false(r.done);
        }
    }
}

static void impostors_fail(void **state)
{
    (void)state;
    struct run r = {.frame = -1};
    enrol(&r, t.other, NAME, NOW, &t.ps_key, false);
    assert_false(r.done);
    enrol(&r, t.root, "other.example", NOW, &t.ps_key, false);
    assert_false(r.done);
    enrol(&r, t.root, NAME, NOW + 10ull * 86400 * 1000000, &t.ps_key, false);
    assert_false(r.done);
    enrol(&r, t.root, NAME, NOW, &t.user, false); /* certificate stolen, key not */
    assert_false(r.done);
}

/* An end that keeps nothing of what it heard in between must not take "ok" for success. */
static void error_frames(void **state)
{
    (void)state;
    struct enrol_bti_cfg bc = {.root = t.root, .call_id = "c1@x", .info = {.ip_bytes = 4}};
    const struct {
        const char *body;
        size_t n;
        uint16_t code;
    } rows[] = {
        {"\x80\x46\x00\x02\x00\x09", 6, CODE_CALL},
        {"\x80\x46\x00\x02\x00\x09\x80\x47\x00\x02no", 12, CODE_CALL},
        {"\x80\x46\x00\x02\x00\x00", 6, CODE_MALFORMED},
        {"\x80\x46\x00\x01\x09", 5, CODE_CRYPTO},
        {"\x80\x47\x00\x02no\x80\x46\x00\x02\x00\x09", 12, CODE_CRYPTO},
        {"", 0, CODE_CRYPTO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct enrol_bti *bti = NULL;
        const char *text = NULL;
        char frame[32] = {1, WIRE_ERROR, 0, (char)rows[i].n};
        memcpy(frame + 4, rows[i].body, rows[i].n);
        assert_int_equal(enrol_bti_new(&bc, &bti), E_OK);
        assert_int_equal(enrol_bti_start(bti, &a), E_OK);
        assert_int_equal(enrol_bti_feed(bti, view_from(frame, 4 + rows[i].n), &a), E_OK);
        assert_int_equal(a.event, BTI_REFUSED);
        assert_true(a.ended && a.n == 0);
        assert_int_equal(enrol_bti_refusal(bti, &text), rows[i].code);
        enrol_bti_free(bti);
    }
}

/* A session up to the answer; flip as in struct run (0 YO, 1 OFFER, 2 request, 3 answer). */
static bool session_run(enum wire_form form, struct session_row *row, struct run *r)
{
    struct enrol_ps_cfg pc = {.chain = &t.chain, .key = &t.ps_key};
    struct session_bti_cfg bc = {.root = t.root,
                                 .ps_name = NAME,
                                 .now_us = NOW,
                                 .counter = 9,
                                 .gate = GATES,
                                 .form = form,
                                 .k_u = &t.user,
                                 .ltk = &row->ltk};
    struct session_grant g = {
        .kid = {7}, .lifetime_s = 60, .now_us = NOW + 5, .gates = {1, {GATES}}};
    struct session_ps *ps = NULL;
    struct session_bti *bti = NULL;
    struct session_keys k;
    uint16_t code = 0;
    bool done = false;
    assert_int_equal(session_ps_new(&pc, &ps), E_OK);
    assert_int_equal(session_bti_new(&bc, &bti), E_OK);
    assert_int_equal(session_bti_start(bti, &a), E_OK);
    assert_int_equal(session_ps_feed(ps, carry(r, 0, &a), &b), E_OK);
    if (!b.ended) {
        assert_int_equal(session_bti_feed(bti, carry(r, 1, &b), &a), E_OK);
    }
    if (!b.ended && !a.ended) {
        assert_int_equal(session_ps_feed(ps, carry(r, 2, &a), &b), E_OK);
    }
    if (b.event == SPS_REQUEST) {
        assert_int_equal(session_ps_decide(ps, row, &g, &code, &k, &b), E_OK);
        assert_true(r->frame != 2 || code != CODE_OK); /* nothing is granted for it either */
        assert_int_equal(session_bti_feed(bti, carry(r, 3, &b), &a), E_OK);
        done = a.event == SBTI_DONE;
    }
    session_ps_free(ps);
    session_bti_free(bti);
    return done;
}

static void every_octet_of_a_session_matters(void **state)
{
    (void)state;
    struct session_row row = {.known = true, .key = {.kind = KEY_P256}};
    memcpy(row.key.pub, t.user.pub, P256_POINT_BYTES);
    assert_int_equal(secret_random(&row.ltk.enc_up, 16), E_OK);
    assert_int_equal(secret_random(&row.ltk.mac_up, 16), E_OK);
    for (int form = FORM_SIGNED; form <= FORM_LTK; form++) {
        struct run whole = {.frame = -1};
        assert_true(session_run((enum wire_form)form, &row, &whole));
        for (int f = 0; f < 4; f++) {
            assert_true(whole.lengths[f] > 4);
            for (size_t i = 0; i < whole.lengths[f]; i++) {
                struct run r = {.frame = f, .at = i};
                assert_false(session_run((enum wire_form)form, &row, &r));
            }
        }
    }
}

/* The BTI's request with `extra` behind its last field -> the code of the PS's refusal, 0: none. */
static uint16_t request_with(enum wire_form form, struct session_row *row, struct view extra)
{
    struct enrol_ps_cfg pc = {.chain = &t.chain, .key = &t.ps_key};
    struct session_bti_cfg bc = {
        .root = t.root, .now_us = NOW, .gate = GATES, .form = form, .k_u = &t.user};
    struct session_ps *ps = NULL;
    struct session_bti *bti = NULL;
    bc.ltk = &row->ltk;
    assert_int_equal(session_ps_new(&pc, &ps), E_OK);
    assert_int_equal(session_bti_new(&bc, &bti), E_OK);
    assert_int_equal(session_bti_start(bti, &a), E_OK);
    assert_int_equal(session_ps_feed(ps, sent(&a), &b), E_OK);
    assert_int_equal(session_bti_feed(bti, sent(&b), &a), E_OK);
    memcpy(a.b + a.n, extra.p, extra.n);
    a.n += extra.n;
    a.b[2] = (uint8_t)((a.n - 4) >> 8);
    a.b[3] = (uint8_t)(a.n - 4);
    assert_int_equal(session_ps_feed(ps, sent(&a), &b), E_OK);
    session_ps_free(ps);
    session_bti_free(bti);
    if (b.event == SPS_REQUEST) {
        return CODE_OK;
    }
    assert_true(b.ended && b.n == 10 && b.b[1] == WIRE_ERROR);
    return (uint16_t)(b.b[8] << 8 | b.b[9]);
}

static void nothing_stands_behind_the_proof(void **state)
{
    (void)state;
    struct session_row row = {.known = true};
    assert_int_equal(secret_random(&row.ltk.enc_up, 16), E_OK);
    assert_int_equal(secret_random(&row.ltk.mac_up, 16), E_OK);
    for (int form = FORM_SIGNED; form <= FORM_LTK; form++) {
        enum wire_form f = (enum wire_form)form;
        assert_int_equal(request_with(f, &row, VIEW("")), CODE_OK);
        assert_int_equal(request_with(f, &row, VIEW("\x01\x00\x00\x01x")), CODE_MALFORMED);
        assert_int_equal(request_with(f, &row, VIEW("\x81\x00\x00\x01x")), CODE_MALFORMED);
    }
}

static void an_error_is_never_answered(void **state)
{
    (void)state;
    struct enrol_ps_cfg pc = {.chain = &t.chain, .key = &t.ps_key};
    const char frame[] = {1, WIRE_ERROR, 0, 6, (char)0x80, 70, 0, 2, 0, 8};
    struct session_ps *s = NULL;
    struct enrol_ps *e = NULL;
    assert_int_equal(session_ps_new(&pc, &s), E_OK);
    assert_int_equal(session_ps_feed(s, view_from(frame, sizeof frame), &b), E_OK);
    assert_true(b.ended && b.n == 0 && b.event == SPS_REFUSED);
    assert_int_equal(session_ps_feed(s, view_from(frame, sizeof frame), &b), E_STATE);
    session_ps_free(s);
    assert_int_equal(enrol_ps_new(&pc, &e), E_OK);
    assert_int_equal(enrol_ps_feed(e, view_from(frame, sizeof frame), &b), E_OK);
    assert_true(b.ended && b.n == 0 && b.event == PS_REFUSED);
    enrol_ps_free(e);
}

static uint16_t session(enum wire_form form, uint64_t counter, struct session_row *row)
{
    struct enrol_ps_cfg pc = {.chain = &t.chain, .key = &t.ps_key};
    struct session_bti_cfg bc = {.root = t.root,
                                 .ps_name = NAME,
                                 .now_us = NOW,
                                 .counter = counter,
                                 .gate = GATES,
                                 .form = form,
                                 .k_u = &t.user,
                                 .ltk = &row->ltk};
    struct session_grant g = {
        .kid = {7}, .lifetime_s = 60, .now_us = NOW + 5, .gates = {1, {GATES}}};
    struct session_ps *ps = NULL;
    struct session_bti *bti = NULL;
    struct session_keys k;
    uint16_t code = 0;
    assert_int_equal(session_ps_new(&pc, &ps), E_OK);
    assert_int_equal(session_bti_new(&bc, &bti), E_OK);
    assert_int_equal(session_bti_start(bti, &a), E_OK);
    assert_int_equal(session_ps_feed(ps, sent(&a), &b), E_OK);
    assert_int_equal(session_bti_feed(bti, sent(&b), &a), E_OK);
    assert_int_equal(session_ps_feed(ps, sent(&a), &b), E_OK);
    assert_int_equal(b.event, SPS_REQUEST);
    assert_int_equal(session_ps_decide(ps, row, &g, &code, &k, &b), E_OK);
    assert_int_equal(session_bti_feed(bti, sent(&b), &a), E_OK);
    const struct session_result *res = session_bti_result(bti);
    assert_int_equal(a.event, code == CODE_OK ? SBTI_DONE : SBTI_REFUSED);
    if (code == CODE_OK) {
        assert_true(secret_eq(&k.mac_up, &res->keys.mac_up));
        assert_true(secret_eq(&k.tls_psk, &res->keys.tls_psk));
        assert_int_equal(res->lifetime_s, 60);
    }
    if (code == CODE_STALE) {
        assert_int_equal(res->counter, row->last_counter);
        assert_int_equal(res->server_us, NOW + 5);
    }
    session_ps_free(ps);
    session_bti_free(bti);
    return code;
}

static void sessions(void **state)
{
    (void)state;
    for (int form = FORM_SIGNED; form <= FORM_LTK; form++) {
        struct session_row row = {.known = true, .key = {.kind = KEY_P256}, .last_counter = 4};
        memcpy(row.key.pub, t.user.pub, P256_POINT_BYTES);
        assert_int_equal(secret_random(&row.ltk.enc_up, 16), E_OK);
        assert_int_equal(secret_random(&row.ltk.mac_up, 16), E_OK);
        enum wire_form f = (enum wire_form)form;
        assert_int_equal(session(f, 5, &row), CODE_OK);
        assert_int_equal(session(f, 4, &row), CODE_STALE);
        assert_int_equal(session(f, INT64_MAX, &row), CODE_OK);
        assert_int_equal(session(f, (uint64_t)INT64_MAX + 1, &row), CODE_STALE);
        row.barred = true;
        assert_int_equal(session(f, 5, &row), CODE_BARRED);
        row.revoked = true;
        assert_int_equal(session(f, 5, &row), CODE_REVOKED);
        row.known = false;
        assert_int_equal(session(f, 5, &row), CODE_UNKNOWN);
        row.known = true;
        memcpy(row.key.pub, t.ps_key.pub, P256_POINT_BYTES);
        if (f == FORM_SIGNED) {
            assert_int_equal(session(f, 5, &row), CODE_UNKNOWN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enrolment_completes),
        cmocka_unit_test(impostors_fail),
        cmocka_unit_test(error_frames),
        cmocka_unit_test(sessions),
        cmocka_unit_test(an_error_is_never_answered),
        cmocka_unit_test(nothing_stands_behind_the_proof),
        cmocka_unit_test(every_octet_of_a_session_matters),
        cmocka_unit_test(every_octet_matters),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
