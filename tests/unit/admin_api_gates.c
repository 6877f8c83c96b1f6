/* Gates by their control sockets: all at once, who is silent is named, who refuses says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin_api/gates.h"
#include "base/clock.h"

#define SILENT "silent" /* takes a question and says nothing */
#define HALF   "half"   /* ends in the middle of its answer */

static char top[32];

struct fake { /* a gate's control socket */
    const char *node;
    char path[64];
    int fd;
    pthread_t thread;
    _Atomic bool stop;
    unsigned asked;
};

static void answer(struct fake *f, int fd)
{
    char line[4096] = "", text[8192];
    size_t n = 0;
    ssize_t got = 0;
    while (n < sizeof line - 1 && strchr(line, '\n') == NULL &&
           (got = read(fd, line + n, sizeof line - 1 - n)) > 0) {
        n += (size_t)got;
    }
    f->asked++;
    if (strcmp(f->node, SILENT) == 0 && strstr(line, "status") == NULL) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        (void)poll(&p, 1, 5000);
        return;
    }
    if (strcmp(f->node, HALF) == 0 && strstr(line, "status") == NULL) {
        assert_int_equal(write(fd, "{\"ok\":tr", 8), 8);
        return;
    }
    snprintf(text, sizeof text, "%s\n",
             strstr(line, "refuse") != NULL ? "{\"ok\":false,\"error\":\"no such op\"}" : "");
    if (text[0] == '\n') {
        snprintf(text, sizeof text, "{\"ok\":true,\"node\":\"%s\",\"fill\":\"%0*d\"}\n", f->node,
                 7000, 0);
    }
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void *serve(void *arg)
{
    struct fake *f = arg;
    while (!f->stop) {
        struct pollfd p = {.fd = f->fd, .events = POLLIN};
        int fd = poll(&p, 1, 20) > 0 ? accept(f->fd, NULL, NULL) : -1;
        if (fd >= 0) {
            answer(f, fd);
            close(fd);
        }
    }
    return NULL;
}

static void start(struct fake *f, const char *node)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    *f = (struct fake){.node = node};
    snprintf(f->path, sizeof f->path, "%s/%s.sock", top, node);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", f->path);
    f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(f->fd, 8), 0);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void stop(struct fake *f)
{
    f->stop = true;
    pthread_join(f->thread, NULL);
    close(f->fd);
    unlink(f->path);
}

static struct gates *open_gates(const char *const *sockets)
{
    struct gates_cfg cfg = {.sockets = sockets, .redis = "", .command_key = ""};
    struct gates *g = NULL;
    char why[256];
    assert_int_equal(gates_open(&cfg, &g, why, sizeof why), E_OK);
    return g;
}

static void everybody_at_once(void **state)
{
    struct fake a, b, silent, half;
    struct gate_answer out[GATES_MAX];
    char gone[64];
    (void)state;
    start(&a, "gc2");
    start(&b, "gc1");
    start(&silent, SILENT);
    start(&half, HALF);
    snprintf(gone, sizeof gone, "%s/gone.sock", top);
    const char *sockets[] = {a.path, b.path, silent.path, gone, half.path, NULL};
    struct gates *g = open_gates(sockets);
    json_t *ask = json_pack("{s:s}", "op", "anything");
    uint64_t before = clock_mono_ms(clock_system());
    assert_int_equal(gates_ask_all(g, ask, 300, out), 5);
    assert_true(clock_mono_ms(clock_system()) - before >= 250);
    assert_string_equal(out[0].node, "gc1");
    assert_int_equal(out[0].e, E_OK);
    assert_true(out[0].is_local);
    assert_string_equal(out[1].node, "gc2");
    assert_int_equal(json_string_length(json_object_get(out[1].answer, "fill")), 7000);
    assert_string_equal(out[2].node, "gone.sock"); /* its name was never heard */
    assert_int_equal(out[2].e, E_IO);
    assert_string_equal(out[3].node, HALF);
    assert_int_equal(out[3].e, E_IO);
    assert_string_equal(out[4].node, SILENT);
    assert_int_equal(out[4].e, E_IO);
    assert_null(out[4].answer);
    gate_answers_free(out, 5);
    json_decref(ask);
    gates_close(g);
    stop(&a);
    stop(&b);
    stop(&silent);
    stop(&half);
}

static json_t *only_gc2(void *arg, const char *node)
{
    (*(unsigned *)arg)++;
    return strcmp(node, "gc2") == 0 ? json_pack("{s:s}", "op", "for gc2") : NULL;
}

static void one_of_them(void **state)
{
    struct fake a, b;
    struct gate_answer out, some[GATES_MAX];
    unsigned made = 0;
    (void)state;
    start(&a, "gc1");
    start(&b, "gc2");
    const char *sockets[] = {a.path, b.path, NULL};
    struct gates *g = open_gates(sockets);
    json_t *ask = json_pack("{s:s}", "op", "anything"), *bad = json_pack("{s:s}", "op", "refuse");
    assert_int_equal(gates_ask(g, "gc2", ask, 1000, &out), E_OK);
    assert_string_equal(json_string_value(json_object_get(out.answer, "node")), "gc2");
    gate_answers_free(&out, 1);
    assert_int_equal(gates_ask(g, "gc9", ask, 1000, &out), E_NOTFOUND);
    assert_int_equal(gates_ask(g, "gc1", bad, 1000, &out), E_STATE);
    assert_string_equal(gate_error(&out), "no such op");
    gate_answers_free(&out, 1);
    assert_int_equal(gates_ask_each(g, only_gc2, &made, 1000, some), 1);
    assert_string_equal(some[0].node, "gc2");
    assert_int_equal(made, 2);
    gate_answers_free(some, 1);
    stop(&a); /* anybody who is there will do */
    assert_int_equal(gates_ask(g, NULL, ask, 1000, &out), E_OK);
    assert_string_equal(out.node, "gc2");
    gate_answers_free(&out, 1);
    stop(&b);
    assert_int_equal(gates_ask(g, NULL, ask, 1000, &out), E_IO);
    json_decref(ask);
    json_decref(bad);
    gates_close(g);
}

static void limits(void **state)
{
    const char *many[18];
    struct gates_cfg cfg = {.sockets = many, .redis = "", .command_key = ""};
    struct gates_cfg keyless = {.redis = "unix:/nowhere", .command_key = "/nowhere/command.key"};
    struct gates *g = NULL;
    char why[256] = "";
    (void)state;
    for (size_t i = 0; i < 17; i++) {
        many[i] = "/run/x.sock";
    }
    many[17] = NULL;
    assert_int_equal(gates_open(&cfg, &g, why, sizeof why), E_RANGE);
    assert_non_null(strstr(why, "gates.sockets"));
    assert_int_equal(gates_open(&keyless, &g, why, sizeof why), E_NOTFOUND);
    assert_non_null(strstr(why, "/nowhere/command.key"));
    gates_close(NULL);
}

static int setup(void **state)
{
    (void)state;
    strcpy(top, "/tmp/gatesXXXXXX");
    return mkdtemp(top) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_at_once),
        cmocka_unit_test(one_of_them),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
