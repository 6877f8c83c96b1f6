/* The table of trunks and the configuration are used by all threads of a node at once: workers with
 * messages of trunks, worker 0 with its questions to them, the control socket with its lists, main
 * with new configurations and the store with new snapshots. Run under ThreadSanitizer. */
#include <arpa/inet.h>
#include <pthread.h>

#include "gc/trunks.h"
#include "tests/scenario/node.h"

enum { ROUNDS = 8, TRUNKS = 4 };

static struct {
    struct node n;
    struct store s;
    struct net_addr gateway;
    int fd; /* the gateway's socket */
    atomic_bool stop;
    atomic_uint answered, asked, taken;
} world;

/* ---- the gateway -------------------------------------------------------------------------------
 */
/* Its own question with a status line in front is answer enough. */
static void answer_question(const char *text, size_t n, const struct sockaddr *to, socklen_t len)
{
    char out[4096] = "SIP/2.0 200 OK";
    const char *headers = memmem(text, n, "\r\n", 2);
    size_t head = strlen(out), rest = headers != NULL ? n - (size_t)(headers - text) : 0;

    if (headers != NULL && head + rest < sizeof out) {
        memcpy(out + head, headers, rest);
        (void)sendto(world.fd, out, head + rest, 0, to, len);
        atomic_fetch_add(&world.asked, 1);
    }
}

static void *gateway(void *arg)
{
    struct sockaddr_storage node;
    socklen_t node_len = net_to_sockaddr(&world.n.ws->live->own[0].address, &node);
    char text[4096];

    (void)arg;
    for (unsigned i = 0; !atomic_load(&world.stop); i++) {
        struct pollfd p = {.fd = world.fd, .events = POLLIN};
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        size_t n = options(text, sizeof text, "UDP", i);
        (void)sendto(world.fd, text, n, 0, (const struct sockaddr *)&node, node_len);
        while (poll(&p, 1, 1) == 1) {
            ssize_t got = recvfrom(world.fd, text, sizeof text, 0, (struct sockaddr *)&from, &len);
            if (got > 7 && memcmp(text, "OPTIONS", 7) == 0) {
                answer_question(text, (size_t)got, (const struct sockaddr *)&from, len);
            } else if (got > 0) {
                atomic_fetch_add(&world.answered, 1);
            }
        }
    }
    return NULL;
}

/* ---- calls, as workers count them --------------------------------------------------------------
 */
static void *taker(void *arg)
{
    struct trunks *t = world.n.ws->trunks;
    const struct clock *clock = clock_system();
    struct trunk_addresses found;

    (void)arg;
    for (uint64_t i = 0; !atomic_load(&world.stop); i++) {
        struct trunk_use use = {.trunk = 1 + i % TRUNKS, .route = 1 + i % 3};
        const struct trunk_room room = {.channels = 1, .route_channels = 2};
        trunks_addresses(t, use.trunk, i, clock_mono_ms(clock), &found);
        if (trunks_take(t, &use, &room, clock_mono_ms(clock)) == E_OK) {
            atomic_fetch_add(&world.taken, 1);
            if (found.n > 0 && i % 64 == 0) {
                trunks_suspect(t, use.trunk, &found.a[0].where.address, clock_mono_ms(clock));
            }
            trunks_give(t, &use);
        }
    }
    return NULL;
}

/* ---- what the control socket and /metrics ask --------------------------------------------------
 */
static void *watcher(void *arg)
{
    struct workers *ws = world.n.ws;
    struct trunk_view *views = mem_zalloc_array(TRUNKS + 1, sizeof *views);
    char *text = mem_zalloc(1 << 18);
    struct peers_named peers;
    struct ps_state ps[2];

    (void)arg;
    while (!atomic_load(&world.stop)) {
        const struct snapshot *snap = store_snapshot(&world.s);
        for (size_t i = 0; i < snapshot_all_routes(snap); i++) {
            const struct route *r = snapshot_route_at(snap, i);
            (void)workers_obstacle(ws, r, snapshot_trunk(snap, r->trunk_id));
        }
        store_quiescent(&world.s, ws->n);
        (void)workers_trunks(ws, views, TRUNKS + 1);
        workers_peers(ws, &peers);
        (void)workers_ps(ws, ps, 2);
        (void)workers_calls(ws);
        (void)metrics_render(world.n.metrics, text, 1 << 18);
    }
    mem_free(views);
    mem_free(text);
    return NULL;
}

/* ---- main and store ----------------------------------------------------------------------------
 */
/* Trunk 1 is always there; the others come and go. */
static void publish(unsigned round)
{
    char host[NET_TEXT_MAX], names[TRUNKS][8], why[160];
    struct trunk rows[TRUNKS];
    struct route routes[TRUNKS];
    struct snapshot_input in = {.change_seq = round, .trunks = rows, .routes = routes};
    struct snapshot *snap = NULL;
    struct held *h = NULL;

    net_ip_text(&world.gateway, host);
    for (unsigned i = 0; i < TRUNKS; i++) {
        if (i > 0 && (round >> (i - 1) & 1) == 0) {
            continue;
        }
        snprintf(names[i], sizeof names[i], "t%u", i);
        rows[in.n_trunks++] = (struct trunk){.trunk_id = i + 1,
                                             .name = view_of(names[i]),
                                             .host = view_of(host),
                                             .port = world.gateway.port,
                                             .proto = SIP_UDP + 1,
                                             .sources = view_of(host),
                                             .disabled = round % 3 == 0 && i > 0,
                                             .ping_s = 1};
        routes[in.n_routes++] = (struct route){.route_id = i + 1,
                                               .name = view_of(names[i]),
                                               .prefix = VIEW("+44"),
                                               .trunk_id = i + 1,
                                               .max_channels = 2};
    }
    assert_int_equal(snapshot_build(&in, &snap, why, sizeof why), E_OK);
    assert_int_equal(snapshot_left_out(snap), 0);
    assert_int_equal(store_wrap(&world.s, snap, NULL, &h), E_OK);
    store_publish(&world.s, h, true);
    store_unhold(&world.s, h);
}

static void reload(unsigned round)
{
    struct gc_settings set = world.n.set;
    struct gc_plan plan = world.n.plan;

    set.calls_per_line = 1 + round;
    plan.n_trusted = round % 3;
    for (unsigned i = 0; i < plan.n_trusted; i++) {
        plan.trusted[i] = addr("127.0.9.77:5060");
        plan.trusted[i].port = 0;
    }
    plan.n_listen = 2 + round % 2; /* one more comes and goes */
    plan.listen[2] = (struct gc_listen){SIP_TCP, addr("127.0.9.102:5060")};
    plan.listen[2].address.port = 0;
    assert_int_equal(workers_reload(world.n.ws, &set, &plan, NULL, NULL), E_OK);
}

static bool follows(void)
{
    uint64_t end = clock_mono_ms(clock_system()) + WAIT_MS;

    while (!workers_follow(world.n.ws, store_generation(&world.s))) {
        if (clock_mono_ms(clock_system()) > end) {
            return false;
        }
        sched_yield();
    }
    return true;
}

static bool is_heard(void)
{
    struct trunk_view views[TRUNKS + 1];
    uint64_t end = clock_mono_ms(clock_system()) + 2 * WAIT_MS;

    while (clock_mono_ms(clock_system()) < end) {
        size_t n = workers_trunks(world.n.ws, views, TRUNKS + 1);
        for (size_t i = 0; i < n; i++) {
            if (views[i].trunk_id == 1 && views[i].n == 1 && views[i].a[0].last_answer_us != 0) {
                return true;
            }
        }
        sched_yield();
    }
    return false;
}

static void open_gateway(void)
{
    struct net_addr a = addr("127.0.9.103:5060");
    struct sockaddr_storage sa;
    socklen_t len = 0;

    a.port = 0;
    len = net_to_sockaddr(&a, &sa);
    world.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(world.fd >= 0);
    assert_int_equal(bind(world.fd, (const struct sockaddr *)&sa, len), 0);
    assert_int_equal(net_local(world.fd, &world.gateway), E_OK);
}

static void all_at_once(void **state)
{
    void *(*const jobs[])(void *) = {gateway, watcher, taker, taker};
    enum { JOBS = sizeof jobs / sizeof *jobs };
    pthread_t threads[JOBS];
    struct trunk_view views[TRUNKS + 1];

    (void)state;
    store_open(&world.s);
    open_gateway();
    node_open(&world.n, &world.s);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, jobs[i], NULL), 0);
    }
    for (unsigned round = 1; round <= ROUNDS; round++) {
        publish(round);
        reload(round);
        assert_true(follows());
    }
    assert_true(is_heard());
    atomic_store(&world.stop, true);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(atomic_load(&world.answered) > 0 && atomic_load(&world.asked) > 0 &&
                atomic_load(&world.taken) > 0);
    size_t n = workers_trunks(world.n.ws, views, TRUNKS + 1);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(views[i].calls, 0); /* what was taken was given */
    }
    assert_true(n > 0);
    node_close(&world.n);
    close(world.fd);
    store_close(&world.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_at_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
