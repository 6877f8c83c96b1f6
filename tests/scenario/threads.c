/* Two workers with real sockets and threads: a message reaches the owner of its Call-ID whatever
 * socket it came by, and the answer finds its way back over a connection of the other worker. */
#include "tests/scenario/node.h"

static void answers_come_back(void **state)
{
    static struct node n;
    (void)state;
    node_open(&n, NULL);
    ask_all(&n, 0, SOCK_DGRAM, "UDP");
    ask_all(&n, 1, SOCK_STREAM, "TCP");
    assert_true(metric_sum(n.metrics, n.ws->meter_base + METER_HANDED_OVER) > EACH / 4);
    assert_int_equal(metric_sum(n.metrics, n.ws->meter_base + METER_QUEUE_FULL), 0);
    node_close(&n);
}

static bool is_refused(const struct net_addr *to)
{
    struct sockaddr_storage sa;
    socklen_t len = net_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM, 0);
    bool refused = connect(fd, (const struct sockaddr *)&sa, len) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* A tick later: every worker has let go of the listener. */
static bool becomes_refused(const struct net_addr *to)
{
    uint64_t end = clock_mono_ms(clock_system()) + WAIT_MS;
    while (!is_refused(to)) {
        if (clock_mono_ms(clock_system()) > end) {
            return false;
        }
        sched_yield();
    }
    return true;
}

/* Listeners come and go under live connections; what cannot be opened changes nothing. */
static void another_configuration(void **state)
{
    static struct node n;
    char text[1024];
    struct gc_plan plan;
    struct net_addr tcp, taken;
    size_t len = 0;
    int fd = -1;
    (void)state;
    node_open(&n, NULL);
    fd = dial(&n, 1, SOCK_STREAM);
    len = options(text, sizeof text, "TCP", 1);
    assert_int_equal(send(fd, text, len, 0), (ssize_t)len);
    assert_int_equal(count_answers(fd, 1), 1);
    tcp = n.ws->live->own[1].address;
    plan = n.plan;
    plan.n_listen = 3;
    plan.listen[2] = (struct gc_listen){SIP_TCP, addr("192.0.2.1:5060")}; /* not ours */
    assert_int_equal(workers_reload(n.ws, &n.set, &plan, NULL, NULL), E_IO);
    assert_int_equal(n.ws->live->n_own, 2);
    ask_all(&n, 1, SOCK_STREAM, "TCP");
    /* In the place of TCP over IPv4 one over IPv6, and a TLS listener; twice, as fast as can be. */
    plan.n_listen = 3;
    plan.listen[1] = (struct gc_listen){SIP_TCP, addr("[::1]:5060")};
    plan.listen[1].address.port = 0;
    plan.listen[2] = (struct gc_listen){SIP_TLS, plan.listen[1].address};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(workers_reload(n.ws, &n.set, &plan, NULL, NULL), E_OK);
    }
    taken = n.ws->live->own[1].address;
    assert_int_equal(taken.family, 6);
    assert_true(becomes_refused(&tcp));
    assert_true(!is_refused(&taken) && !is_refused(&n.ws->live->own[2].address));
    ask_all(&n, 0, SOCK_DGRAM, "UDP");
    ask_all(&n, 1, SOCK_STREAM, "TCP");
    len = options(text, sizeof text, "TCP", EACH + 1);
    assert_int_equal(send(fd, text, len, 0), (ssize_t)len); /* the old connection goes on */
    assert_int_equal(count_answers(fd, 1), 1);
    close(fd);
    node_close(&n);
}

static void commands_from_other_threads(void **state)
{
    static struct node n;
    uint8_t kid[BTI_KID_BYTES] = {1};
    (void)state;
    node_open(&n, NULL);
    workers_end_call(n.ws, "nobody", "nothing");
    workers_close_kid(n.ws, kid);
    workers_drain(n.ws);
    assert_int_equal(workers_calls(n.ws), 0);
    assert_non_null(workers_trace(n.ws, 1));
    assert_null(workers_trace(n.ws, 2));
    ask_all(&n, 0, SOCK_DGRAM, "UDP"); /* they live */
    workers_stop(n.ws);
    workers_stop(n.ws);
    node_close(&n);
}

static void a_stopped_worker_holds_no_snapshot(void **state)
{
    static const char invite[] =
        "INVITE sip:+12125550199@headgate.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.9.11:5060;"
        "rport;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
        "Call-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    static struct node n;
    static struct store s;
    char buf[4096];
    int fd = -1;
    (void)state;
    store_open(&s);
    node_open(&n, &s);
    fd = dial(&n, 0, SOCK_DGRAM);
    assert_int_equal(send(fd, invite, sizeof invite - 1, 0), (ssize_t)sizeof invite - 1);
    assert_true(recv(fd, buf, sizeof buf, 0) > 12);
    assert_memory_equal(buf, "SIP/2.0 407", 11);
    workers_stop(n.ws); /* at once: no tick in between */
    assert_int_equal(s.current->refs, 0);
    close(fd);
    node_close(&n);
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_back),
        cmocka_unit_test(another_configuration),
        cmocka_unit_test(commands_from_other_threads),
        cmocka_unit_test(a_stopped_worker_holds_no_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
