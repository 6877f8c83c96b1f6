/* What a forwarded call says of its way (docs/identity.md): History-Info, Diversion,
 * P-DCS-Redirect, to whom, of whom, and below what came in. */
#include "tests/scenario/forward_world.h"

/* ---- privacy, peers ----------------------------------------------------------------------------
 */
static void a_private_line(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got got;
    (void)state;
    lines[B].services |= LINE_PRIVATE;
    forward(B, FORWARD_ALWAYS, ELSE);
    publish(b);
    alice_calls(b, BOB, &k);
    expect_peer(b, INSIDE, "INVITE", &got);
    assert_true(holds(&got.m, "History-Info: <sip:" BOB "@" DOMAIN
                              ";user=phone?Privacy=history>;index=1, <sip:" ELSE));
    assert_true(holds(&got.m, "Diversion: <sip:" BOB "@" DOMAIN ";user=phone>;reason=unconditional;"
                              "counter=1;privacy=full;screen=yes\r\n"));
    forward(B, FORWARD_ALWAYS, OTHER);
    publish(b);
    alice_calls(b, BOB, &k);
    expect_peer(b, OUTSIDE, "INVITE", &got);
    assert_true(holds(&got.m, "History-Info: <sip:anonymous@anonymous.invalid>;index=1, <sip:" OTHER
                              "@" DOMAIN ";user=phone;cause=302>;index=1.1;mp=1\r\n"));
    assert_true(holds(&got.m, "Diversion: <sip:anonymous@anonymous.invalid>;reason=unconditional;"
                              "counter=1;privacy=full;screen=yes\r\n"));
    assert_null(sip_header(&got.m, SIP_H_P_DCS, 0));
    bench_close(b);
}

#define HISTORY                                                                                    \
    "History-Info: <sip:+442070000001@x.test>;index=1\r\n"                                         \
    "History-Info: <sip:" BOB "@" DOMAIN ";cause=302>;index=1.4;mp=1\r\n"                          \
    "Diversion: <sip:+442070000001@x.test>;reason=user-busy;counter=2\r\n"                         \
    "P-DCS-Redirect: \"tel:+442070000001\";redirector-uri=\"tel:+442070000001\";count=2\r\n"

static void a_believed_history_is_continued(void **state)
{
    struct bench *b = world();
    struct got got;
    const char *ours = NULL, *theirs = NULL;
    (void)state;
    forward(B, FORWARD_ALWAYS, ELSE);
    publish(b);
    peer_calls(b, PSAP, HISTORY); /* a trunk that is believed */
    expect_peer(b, INSIDE, "INVITE", &got);
    got.octets[got.m.raw.n] = 0;
    assert_true(holds(&got.m, ";index=1.4;mp=1\r\n"));
    assert_true(holds(&got.m, "History-Info: <sip:" ELSE "@" DOMAIN
                              ";user=phone;cause=302>;index=1.4.1;mp=1.4\r\n"));
    ours = strstr(got.octets, "Diversion: <sip:" BOB);
    theirs = strstr(got.octets, "Diversion: <sip:+442070000001");
    assert_true(ours != NULL && theirs != NULL && ours < theirs); /* the latest first */
    assert_true(strstr(got.octets, "index=1.4;") < strstr(got.octets, "index=1.4.1;"));
    assert_true(holds(&got.m, "P-DCS-Redirect: \"tel:+442070000001\";redirector-uri=\"tel:" BOB
                              "\";count=3\r\n"));
    assert_false(holds(&got.m, "count=2\r\nP-DCS"));
    bench_close(b);
}

/* Outside, nothing of what came in is left to go on from. */
static void a_history_stays_inside(void **state)
{
    struct bench *b = world();
    struct got got;
    (void)state;
    forward(B, FORWARD_ALWAYS, OTHER);
    publish(b);
    peer_calls(b, PSAP, HISTORY);
    expect_peer(b, OUTSIDE, "INVITE", &got);
    assert_false(holds(&got.m, "+442070000001"));
    assert_true(holds(&got.m,
                      "History-Info: <sip:" BOB "@" DOMAIN ";user=phone>;index=1, <sip:" OTHER
                      "@" DOMAIN ";user=phone;cause=302>;index=1.1;mp=1\r\n"));
    bench_close(b);
}

static void a_history_with_a_gap(void **state)
{
    struct bench *b = world();
    struct got got;
    (void)state;
    forward(B, FORWARD_ALWAYS, ELSE);
    publish(b);
    peer_calls(b, PSAP, "History-Info: <sip:+442070000001@x.test>;index=1.2\r\n");
    expect_peer(b, INSIDE, "INVITE", &got);
    assert_true(holds(&got.m,
                      "History-Info: <sip:" BOB "@" DOMAIN ";user=phone>;index=1.2.0, <sip:" ELSE
                      "@" DOMAIN ";user=phone;cause=302>;index=1.2.0.1;mp=1.2.0\r\n"));
    bench_close(b);
}

static void hops_before_count(void **state)
{
    struct bench *b = world();
    struct got got;
    (void)state;
    forward(B, FORWARD_ALWAYS, ELSE);
    publish(b);
    peer_calls(b, PSAP, "Diversion: <sip:+442070000001@x.test>;counter=5\r\n");
    expect_peer(b, PSAP, "SIP/2.0 480", &got);
    peer_calls(b, PSAP, "Diversion: <sip:+442070000001@x.test>, <sip:" BOB "@" DOMAIN ">\r\n");
    expect_peer(b, PSAP, "SIP/2.0 480", &got); /* it has been here, and went round by a peer */
    assert_int_equal(reached(b, INSIDE), 0);
    peer_calls(b, SPARE, "Diversion: <sip:" BOB "@" DOMAIN ">;counter=9\r\n" HISTORY);
    expect_peer(b, INSIDE, "INVITE", &got); /* whom nobody believes can hinder nothing */
    assert_false(holds(&got.m, "+442070000001"));
    assert_true(holds(&got.m, "History-Info: <sip:" BOB "@" DOMAIN ";user=phone>;index=1, "));
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_private_line),         cmocka_unit_test(a_believed_history_is_continued),
        cmocka_unit_test(a_history_stays_inside), cmocka_unit_test(a_history_with_a_gap),
        cmocka_unit_test(hops_before_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
