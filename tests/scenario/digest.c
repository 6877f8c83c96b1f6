/* Standard phones: Digest, from the first challenge to the last guess. */
#include "tests/scenario/dphone.h"

static struct bench bench;

/* ---- registering -------------------------------------------------------------------------------
 */
static void challenges(void **state)
{
    struct bench *b = &bench;
    struct dphone d = alice_phone();
    struct words k;
    struct request r;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    send_plain(b, &d, &r);
    must_take(b, &d, "SIP/2.0 401", &got);
    assert_true(holds(&got.m, "WWW-Authenticate: Digest"));
    assert_false(holds(&got.m, "BTI-MAC")); /* phones of the field crash at it */
    assert_true(holds(&got.m, "algorithm=SHA-256, qop=\"auth,auth-int\"\r\n"));
    assert_false(holds(&got.m, "MD5"));
    bench_close(b);
}

static void contacts(void **state)
{
    struct bench *b = &bench;
    struct dphone d = bob_phone();
    struct words k;
    struct request r;
    struct got got;
    struct binding have[LOCATION_MAX_CONTACTS];
    (void)state;
    bench_open(b, NULL);
    enter(b, &d);
    assert_int_equal(location_find(b->location, 2, loop_now_ms(b->w->loop), have, 8), 1);
    assert_true(have[0].is_phone && have[0].credential == 3 && have[0].q == 1000);
    assert_true(net_eq(&have[0].remote, &d.flow.remote));
    assert_int_equal(counted(b, METER_AUTH_MISSING), 1);
    /* another contact with a preference, under the same nonce */
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    r.contact = "sip:other@127.0.9.22:5099>;q=0.25;expires=120, <sip:third@127.0.9.22";
    send_proven(b, &d, &r);
    must_take(b, &d, "SIP/2.0 200", &got);
    assert_true(holds(&got.m, "Contact: <sip:other@127.0.9.22:5099>;expires=120;q=0.250\r\n"));
    assert_int_equal(location_count(b->location), 3);
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    r.contact = "sip:x@127.0.9.22>;q=1.5";
    r.extra = "Expires: 0\r\n";
    send_proven(b, &d, &r);
    must_take(b, &d, "SIP/2.0 400", &got);
    /* for a number of somebody else */
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    r.to = "sip:" ALICE "@" DOMAIN;
    send_proven(b, &d, &r);
    must_take(b, &d, "SIP/2.0 403", &got);
    bench_close(b);
}

static void stale_and_replayed(void **state)
{
    struct bench *b = &bench;
    struct dphone d = alice_phone();
    struct words k;
    struct request r;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    enter(b, &d);
    /* the same octets again: a retransmission */
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    send_proven(b, &d, &r);
    must_take(b, &d, "SIP/2.0 200", &got);
    d.nc--;
    send_proven(b, &d, &r);
    must_take(b, &d, "SIP/2.0 200", &got);
    /* another request under a count that was used */
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    d.nc--;
    send_proven(b, &d, &r);
    take_challenge(b, &d, "SIP/2.0 401", true);
    assert_int_equal(counted(b, METER_REPLAYS), 1);
    next_try(b, &r, &k);
    send_proven(b, &d, &r);
    must_take(b, &d, "SIP/2.0 200", &got);
    /* its time is over */
    pass_ms(b, 300000);
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    send_proven(b, &d, &r);
    take_challenge(b, &d, "SIP/2.0 401", true);
    assert_int_equal(counted(b, METER_AUTH_STALE_NONCE), 1);
    next_try(b, &r, &k);
    send_proven(b, &d, &r);
    must_take(b, &d, "SIP/2.0 200", &got);
    /* nobody's nonce */
    d.nonce[0] ^= 1;
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    send_proven(b, &d, &r);
    take_challenge(b, &d, "SIP/2.0 401", true);
    bench_close(b);
}

static void wrong_in_some_way(void **state)
{
    struct bench *b = &bench;
    struct dphone d = alice_phone();
    struct words k;
    struct request r;
    char extra[1024], text[TEXT_MAX];
    (void)state;
    bench_open(b, NULL);
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    send_plain(b, &d, &r);
    take_challenge(b, &d, "SIP/2.0 401", false);
    d.password = "secret of bob";
    next_try(b, &r, &k);
    send_proven(b, &d, &r);
    take_challenge(b, &d, "SIP/2.0 401", false);
    d.user = "nobody";
    next_try(b, &r, &k);
    send_proven(b, &d, &r);
    take_challenge(b, &d, "SIP/2.0 401", false);
    assert_int_equal(counted(b, METER_AUTH_BAD_DIGEST), 2);
    d = alice_phone();
    next_try(b, &r, &k);
    send_plain(b, &d, &r);
    take_challenge(b, &d, "SIP/2.0 401", false);
    d.qop = DIGEST_NO_QOP; /* RFC 2069 */
    next_try(b, &r, &k);
    credentials(&d, &r, r.uri, extra, sizeof extra);
    send_proven(b, &d, &r);
    take_challenge(b, &d, "SIP/2.0 401", false);
    assert_int_equal(counted(b, METER_AUTH_MALFORMED), 1);
    d.qop = DIGEST_AUTH; /* for another request */
    d.nc = 1;
    next_try(b, &r, &k);
    credentials(&d, &r, "sip:other.test", extra, sizeof extra);
    r.extra = extra;
    feed(b, &d.flow, write_request_text(&r, text, sizeof text));
    take_challenge(b, &d, "SIP/2.0 401", false);
    assert_int_equal(counted(b, METER_AUTH_DIGEST_URI), 1);
    d.nc = 1; /* an equivalent one */
    next_try(b, &r, &k);
    credentials(&d, &r, "sip:HEADGATE.test:5060;transport=udp", extra, sizeof extra);
    feed(b, &d.flow, write_request_text(&r, text, sizeof text));
    assert_int_equal(location_count(b->location), 1);
    /* a credential that was disabled says no more than a wrong password */
    d = dphone("gone", "secret of gone", BOB, "127.0.9.22:5072");
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    send_request(b, &d, &r, &k);
    take_challenge(b, &d, "SIP/2.0 401", false);
    assert_int_equal(counted(b, METER_AUTH_REVOKED), 1);
    assert_int_equal(location_count(b->location), 1);
    bench_close(b);
}

static void with_md5(struct bench *b)
{
    b->set.digest_md5 = true;
}

static void md5(void **state)
{
    struct bench *b = &bench;
    (void)state;
    for (int on = 0; on <= 1; on++) {
        struct dphone d = alice_phone();
        struct words k;
        struct request r;
        struct got got;
        bench_open(b, on ? with_md5 : NULL);
        d.hash = HASH_MD5;
        r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
        send_plain(b, &d, &r);
        take_challenge(b, &d, "SIP/2.0 401", false);
        next_try(b, &r, &k);
        send_proven(b, &d, &r);
        must_take(b, &d, on ? "SIP/2.0 200" : "SIP/2.0 401", &got);
        if (on) { /* SHA-256 comes first */
            next_try(b, &r, &k);
            send_plain(b, &d, &r);
            must_take(b, &d, "SIP/2.0 401", &got);
            assert_true(memmem(got.octets, got.m.raw.n, "=SHA-256", 8) <
                        memmem(got.octets, got.m.raw.n, "=MD5", 4));
        }
        bench_close(b);
    }
}

/* Phones that know no other algorithm refuse an answer that offers another. */
static void md5_alone(void **state)
{
    struct bench *b = &bench;
    (void)state;
    for (int on = 0; on <= 1; on++) {
        struct dphone d = dphone(BOB, "secret of " BOB, BOB, "127.0.9.22:5072");
        struct words k;
        struct request r;
        struct got got;
        bench_open(b, on ? with_md5 : NULL);
        r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
        send_plain(b, &d, &r);
        must_take(b, &d, "SIP/2.0 401", &got);
        assert_int_equal(holds(&got.m, "algorithm=MD5"), on);
        assert_int_equal(holds(&got.m, "algorithm=SHA-256"), !on);
        bench_close(b);
    }
}

static void auth_int(void **state)
{
    struct bench *b = &bench;
    struct dphone a = alice_phone(), bob = bob_phone();
    struct words k;
    struct request r;
    struct got got;
    char text[TEXT_MAX], extra[1024];
    (void)state;
    bench_open(b, NULL);
    enter(b, &bob);
    a.qop = DIGEST_AUTH_INT;
    r = request_of(b, &a, "INVITE", "sip:" BOB "@" DOMAIN, &k);
    r.body = sdp_plain;
    send_plain(b, &a, &r);
    take_challenge(b, &a, "SIP/2.0 407", false);
    next_try(b, &r, &k);
    a.nc = 1;
    credentials(&a, &r, r.uri, extra, sizeof extra);
    r.extra = extra;
    r.body = "v=0\r\no=- 1 1 IN IP4 127.0.9.66\r\ns=-\r\nc=IN IP4 127.0.9.66\r\nt=0 0\r\n";
    feed(b, &a.flow, write_request_text(&r, text, sizeof text));
    take_challenge(b, &a, "SIP/2.0 407", false);
    assert_false(take(b, &bob.flow.remote, "INVITE", &got));
    next_try(b, &r, &k);
    r.extra = NULL;
    send_proven(b, &a, &r);
    must_take(b, &bob, "INVITE", &got);
    bench_close(b);
}

/* ---- calls -------------------------------------------------------------------------------------
 */
static void between_phones(void **state)
{
    struct bench *b = &bench;
    struct dphone a = alice_phone(), bob = bob_phone();
    struct words k;
    struct request r, other;
    struct got invite, got;
    char text[TEXT_MAX];
    (void)state;
    bench_open(b, NULL);
    enter(b, &bob);
    r = begin_call(b, &a, &k);
    must_take(b, &bob, "INVITE", &invite);
    assert_null(sip_header(&invite.m, SIP_H_PROXY_AUTHORIZATION, 0));
    assert_true(view_eq(invite.m.uri, view_of(bob.contact)));
    assert_true(holds(&invite.m, "P-Asserted-Identity: \"Alice \\\"A\\\"\" <sip:" ALICE "@"));
    /* an answer from elsewhere is nobody's */
    answer_it(b, &a, &invite, 200, "x");
    assert_false(take(b, &a.flow.remote, "SIP/2.0 200", &got));
    answer_it(b, &bob, &invite, 180, "bt");
    must_take(b, &a, "SIP/2.0 180", &got);
    answer_it(b, &bob, &invite, 200, "bt");
    must_take(b, &a, "SIP/2.0 200", &got);
    /* ACK: with the credentials of the INVITE, or without; from its own place only */
    r.method = "ACK";
    r.to_tag = "bt";
    r.body = NULL;
    next_try(b, &r, &k);
    r.cseq--;
    feed(b, &bob.flow, write_request_text(&r, text, sizeof text));
    assert_false(take(b, &bob.flow.remote, "ACK", &got));
    send_plain(b, &a, &r);
    must_take(b, &bob, "ACK", &got);
    /* BYE of the callee: over UDP it must prove itself */
    other = request_of(b, &bob, "BYE", a.contact, &k);
    other.call_id = r.call_id;
    snprintf(k.call_id, sizeof k.call_id, "d-%u", b->unique - 2);
    other.from = "sip:" BOB "@" DOMAIN;
    other.to = "sip:" ALICE "@" DOMAIN;
    other.from_tag = "bt";
    other.to_tag = "ft";
    assert_true(call_by_id(b->w, invite.m.call_id) != NULL);
    char call_id[64];
    assert_int_equal(view_to_cstr(invite.m.call_id, call_id, sizeof call_id), E_OK);
    other.call_id = call_id;
    send_plain(b, &bob, &other);
    take_challenge(b, &bob, "SIP/2.0 407", false);
    next_try(b, &other, &k);
    send_proven(b, &bob, &other);
    must_take(b, &a, "BYE", &got);
    assert_null(sip_header(&got.m, SIP_H_PROXY_AUTHORIZATION, 0));
    answer_it(b, &a, &got, 200, "x");
    must_take(b, &bob, "SIP/2.0 200", &got);
    assert_int_equal(b->n_cdr, 1);
    assert_true(b->cdr[0].caller_line == 1 && b->cdr[0].callee_line == 2);
    assert_string_equal(b->cdr[0].end_by, "callee");
    bench_close(b);
}

static void with_a_bti(void **state)
{
    struct bench *b = &bench;
    struct dphone a = alice_phone(), bob = bob_phone();
    struct words k;
    struct request r;
    struct got at_bti, at_phone, got;
    char keep[3][96], text[TEXT_MAX];
    (void)state;
    bench_open(b, NULL);
    enter(b, &bob);
    phone_register(b, &b->bob); /* the same line */
    r = begin_call(b, &a, &k);
    must_take(b, &bob, "INVITE", &at_phone);
    expect(b, &b->bob, "INVITE", &at_bti); /* with its MAC */
    phone_answer(b, &b->bob, &at_bti, 200, "bt", sdp_plain);
    must_take(b, &a, "SIP/2.0 200", &got);
    answer_it(b, &bob, &at_phone, 180, "pt"); /* so that it may be cancelled */
    must_take(b, &bob, "CANCEL", &got);
    answer_it(b, &bob, &got, 200, "x");
    answer_it(b, &bob, &at_phone, 487, "pt");
    r.method = "ACK";
    r.to_tag = "bt";
    r.body = NULL;
    next_try(b, &r, &k);
    r.cseq--;
    send_plain(b, &a, &r);
    expect(b, &b->bob, "ACK", &got);
    forget_sent(b);
    /* and the other way */
    enter(b, &a);
    r = invite_of(b, &b->bob, "sip:" ALICE "@" DOMAIN, keep);
    phone_send(b, &b->bob, write_request_text(&r, text, sizeof text));
    must_take(b, &a, "INVITE", &got);
    answer_it(b, &a, &got, 486, "x");
    expect(b, &b->bob, "SIP/2.0 100", &got);
    expect(b, &b->bob, "SIP/2.0 486", &got);
    bench_close(b);
}

static void cancelled(void **state)
{
    struct bench *b = &bench;
    struct dphone a = alice_phone(), bob = bob_phone(), eve = bob_phone();
    struct words k;
    struct request r;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    enter(b, &bob);
    eve.flow = udp("127.0.9.66:5071");
    r = begin_call(b, &a, &k);
    must_take(b, &bob, "INVITE", &got);
    answer_it(b, &bob, &got, 180, "bt");
    must_take(b, &a, "SIP/2.0 180", &got);
    r.method = "CANCEL";
    r.body = NULL;
    send_plain(b, &eve, &r);
    must_take(b, &eve, "SIP/2.0 481", &got);
    assert_false(take(b, &bob.flow.remote, "CANCEL", &got));
    send_plain(b, &a, &r);
    must_take(b, &a, "SIP/2.0 200", &got);
    must_take(b, &bob, "CANCEL", &got);
    bench_close(b);
}

/* A connection on which the credential proved itself in this dialog needs no second proof. */
static void by_connection(void **state)
{
    struct bench *b = &bench;
    struct dphone a = alice_phone(), bob = bob_phone();
    struct words k;
    struct request r;
    struct got invite, got;
    struct sip_flow other;
    (void)state;
    bench_open(b, NULL);
    a.flow.proto = bob.flow.proto = SIP_TCP;
    a.flow.conn = 5;
    bob.flow.conn = 6;
    enter(b, &bob);
    r = begin_call(b, &a, &k);
    must_take(b, &bob, "INVITE", &invite);
    assert_int_equal(invite.to.conn, 6);
    answer_it(b, &bob, &invite, 200, "bt");
    must_take(b, &a, "SIP/2.0 200", &got);
    r.method = "BYE";
    r.to_tag = "bt";
    r.body = NULL;
    next_try(b, &r, &k);
    other = a.flow;
    a.flow.conn = 7; /* another connection of the same address */
    send_plain(b, &a, &r);
    take_challenge(b, &a, "SIP/2.0 407", false);
    a.flow = other;
    next_try(b, &r, &k);
    r.from = "sip:" BOB "@" DOMAIN; /* who it was it remains */
    send_plain(b, &a, &r);
    must_take(b, &a, "SIP/2.0 403", &got);
    next_try(b, &r, &k);
    r.from = "sip:" ALICE "@" DOMAIN;
    send_plain(b, &a, &r);
    must_take(b, &bob, "BYE", &got);
    /* the connection goes, and the registration with it */
    registrar_conn_closed(b->w, &bob.flow);
    assert_int_equal(location_count(b->location), 0);
    bench_close(b);
}

static void identity(void **state)
{
    struct bench *b = &bench;
    struct dphone a = alice_phone();
    struct words k;
    struct request r;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    r = request_of(b, &a, "INVITE", "sip:" BOB "@" DOMAIN, &k);
    r.from = "sip:" BOB "@" DOMAIN;
    send_request(b, &a, &r, &k);
    must_take(b, &a, "SIP/2.0 403", &got);
    assert_int_equal(counted(b, METER_REFUSED_IDENTITY), 1);
    bench_close(b);
}

/* ---- what the operator takes away --------------------------------------------------------------
 */
static void taken_away(void **state)
{
    struct bench *b = &bench;
    struct dphone a = alice_phone(), bob = bob_phone();
    struct words k;
    struct got got;
    struct snapshot *old = NULL;
    (void)state;
    bench_open(b, NULL);
    enter(b, &bob);
    (void)begin_call(b, &a, &k);
    must_take(b, &bob, "INVITE", &got);
    answer_it(b, &bob, &got, 200, "bt");
    must_take(b, &a, "SIP/2.0 200", &got);
    pass_ms(b, 1100);
    assert_int_equal(location_count(b->location), 1);
    old = b->snap;
    b->has_credentials[2] = false; /* bob's */
    bench_lines(b);
    pass_ms(b, 1100);
    snapshot_free(old);
    assert_int_equal(location_count(b->location), 0);
    assert_int_equal(b->n_mirror_removed, 1);
    must_take(b, &a, "BYE", &got); /* its calls end */
    must_take(b, &bob, "BYE", &got);
    assert_int_equal(b->n_cdr, 1);
    /* a further call finds nobody */
    a.nc = 0;
    (void)begin_call(b, &a, &k);
    must_take(b, &a, "SIP/2.0 480", &got);
    bench_close(b);
}

/* ---- a session's credentials -------------------------------------------------------------------
 */
static void of_a_session(void **state)
{
    struct bench *b = &bench;
    struct session *s = NULL;
    char password[DIGEST_PASSWORD_BYTES], user[33];
    struct dphone d;
    struct got got;
    struct words k;
    struct request r;
    (void)state;
    bench_open(b, NULL);
    assert_int_equal(session_hold(b->sessions, b->bob.kid, b->clock.wall_us, &s), E_OK);
    assert_int_equal(session_digest_password(s, password), E_OK);
    session_release(s);
    hex_put(b->bob.kid, sizeof b->bob.kid, user);
    d = dphone(user, password, BOB, "127.0.9.23:5073");
    snprintf(d.contact, sizeof d.contact, "sip:ata@127.0.9.23:5073");
    enter(b, &d);
    /* it is no BTI: nothing is sealed towards it, and its line rings */
    r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, (char[3][96]){{0}});
    (void)r;
    struct dphone a = alice_phone();
    (void)begin_call(b, &a, &k);
    must_take(b, &d, "INVITE", &got);
    assert_null(sip_header(&got.m, SIP_H_AUTHORIZATION, 0));
    /* it ends with the session */
    workers_close_kid(b->ws, b->bob.kid);
    sessions_drop(b->sessions, b->bob.kid);
    pass_ms(b, 10);
    assert_int_equal(location_count(b->location), 0);
    r = request_of(b, &d, "REGISTER", "sip:" DOMAIN, &k);
    send_request(b, &d, &r, &k);
    take_challenge(b, &d, "SIP/2.0 401", false);
    bench_close(b);
}

/* ---- guessing ----------------------------------------------------------------------------------
 */
static void few_guesses(struct bench *b)
{
    b->set.guesses_per_source = 6;
    b->set.guesses_per_username = 3;
    b->set.challenge_per_source = 1000;
}

static void guess(struct bench *b, struct dphone *d, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct words k;
        struct request r = request_of(b, d, "REGISTER", "sip:" DOMAIN, &k);
        send_request(b, d, &r, &k);
        take_challenge(b, d, "SIP/2.0 401", false);
    }
}

static void guessing(void **state)
{
    struct bench *b = &bench;
    struct dphone bob = bob_phone(), eve = dphone("bob", "guess", BOB, "127.0.9.66:5066");
    struct dphone far = bob_phone();
    struct words k;
    struct request r;
    struct got got;
    (void)state;
    bench_open(b, few_guesses);
    enter(b, &bob);
    guess(b, &eve, 5);
    assert_int_equal(counted(b, METER_AUTH_BAD_DIGEST), 3);
    assert_int_equal(counted(b, METER_AUTH_GUESSES), 2);
    /* now not even the right password counts, from elsewhere; but where it is registered it does */
    far.flow = udp("127.0.9.67:5067");
    guess(b, &far, 1);
    enter(b, &bob);
    /* one source, many names */
    eve.user = "alice";
    guess(b, &eve, 3);
    eve.user = "mallory";
    guess(b, &eve, 1);
    assert_int_equal(counted(b, METER_AUTH_GUESSES), 6);
    assert_int_equal(counted(b, METER_AUTH_BAD_DIGEST), 4);
    /* help is not refused for it */
    r = request_of(b, &eve, "INVITE", "sip:911@" DOMAIN, &k);
    r.body = sdp_plain;
    send_proven(b, &eve, &r);
    expect_peer(b, "127.0.9.9:5060", "INVITE", &got);
    /* time heals */
    pass_ms(b, 60000);
    far.nc = 0;
    enter(b, &far);
    bench_close(b);
}

static void emergency(void **state)
{
    struct bench *b = &bench;
    struct dphone a = alice_phone();
    struct words k;
    struct request r;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    r = request_of(b, &a, "INVITE", "sip:911@" DOMAIN, &k);
    r.body = sdp_plain;
    send_plain(b, &a, &r);
    expect_peer(b, "127.0.9.9:5060", "INVITE", &got);
    assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    enter(b, &a);
    r = request_of(b, &a, "INVITE", "sip:911@" DOMAIN, &k);
    r.body = sdp_plain;
    send_proven(b, &a, &r);
    expect_peer(b, "127.0.9.9:5060", "INVITE", &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: \"Alice \\\"A\\\"\" <sip:" ALICE));
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(challenges),
        cmocka_unit_test(contacts),
        cmocka_unit_test(stale_and_replayed),
        cmocka_unit_test(wrong_in_some_way),
        cmocka_unit_test(md5),
        cmocka_unit_test(md5_alone),
        cmocka_unit_test(auth_int),
        cmocka_unit_test(between_phones),
        cmocka_unit_test(with_a_bti),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(by_connection),
        cmocka_unit_test(identity),
        cmocka_unit_test(taken_away),
        cmocka_unit_test(of_a_session),
        cmocka_unit_test(guessing),
        cmocka_unit_test(emergency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
