/* Addresses: text to value to text, to the socket structures and back; real loopback sockets. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/net.h"

static void with_port(void **state)
{
    (void)state;
    const struct {
        const char *text, *shown; /* NULL: refused */
    } rows[] = {
        {"192.0.2.1:5060", "192.0.2.1:5060"},
        {"192.0.2.1", "192.0.2.1:99"},
        {"192.0.2.1:0", "192.0.2.1:0"},
        {"192.0.2.1:65535", "192.0.2.1:65535"},
        {"[2001:DB8:0::1]:5061", "[2001:db8::1]:5061"},
        {"[2001:db8::1]", "[2001:db8::1]:99"},
        {"[::ffff:192.0.2.1]:5", "192.0.2.1:5"}, /* mapped is IPv4 */
        {"[::ffff:c000:201]:5", "192.0.2.1:5"},
        {"[::192.0.2.1]:5", "[::192.0.2.1]:5"},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535"},
        {"", NULL},
        {":", NULL},
        {":5060", NULL},
        {"192.0.2.1:", NULL},
        {"192.0.2.1:65536", NULL},
        {"192.0.2.1:-1", NULL},
        {"192.0.2.1:+1", NULL},
        {"192.0.2.1: 1", NULL},
        {"192.0.2.1:1x", NULL},
        {"192.0.2.1:1:2", NULL},
        {"192.0.2.256", NULL},
        {"192.0.2", NULL},
        {"192.0.2.1.1", NULL},
        {"192.0.2.01", NULL},
        {"0x7f.0.0.1", NULL},
        {"2130706433", NULL},
        {" 192.0.2.1", NULL},
        {"localhost:5060", NULL},
        {"2001:db8::1", NULL}, /* without brackets the port would be a guess */
        {"[2001:db8::1", NULL},
        {"[2001:db8::1]5060", NULL},
        {"[2001:db8::1]:", NULL},
        {"[[2001:db8::1]]:1", NULL},
        {"[2001:db8::1%eth0]:1", NULL},
        {"[2001:db8:::1]:1", NULL},
        {"[]:1", NULL},
        {"[", NULL},
        {"]", NULL},
        {"[192.0.2.1]:5060", NULL},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255.255.255.255.255]:65535", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct net_addr a, back, unset;
        char text[NET_TEXT_MAX];
        memset(&a, 0x5a, sizeof a);
        unset = a;
        enum err e = net_parse(view_of(rows[i].text), 99, &a);
        if ((e == E_OK) != (rows[i].shown != NULL)) {
            fail_msg("%s: %s", rows[i].text, err_name(e));
        }
        if (e != E_OK) {
            assert_true(e == E_PARSE || e == E_RANGE);
            assert_memory_equal(&a, &unset, sizeof a);
            continue;
        }
        net_text(&a, text);
        assert_string_equal(text, rows[i].shown);
        assert_int_equal(net_parse(view_of(text), 0, &back), E_OK);
        assert_true(net_eq(&a, &back));
        assert_memory_equal(&a, &back, sizeof a); /* no rubbish in unused octets */
    }
}

static void without_port(void **state)
{
    (void)state;
    const struct {
        const char *text, *shown;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"::ffff:10.0.0.1", "10.0.0.1"},
        {"[192.0.2.1]", NULL},
        {"192.0.2.1:1", NULL},
        {"[]", NULL},
        {"", NULL},
        {"a", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct net_addr a = {0};
        char text[NET_TEXT_MAX];
        enum err e = net_parse_ip(view_of(rows[i].text), &a);
        assert_int_equal(e == E_OK, rows[i].shown != NULL);
        net_ip_text(&a, text);
        assert_string_equal(text, rows[i].shown ? rows[i].shown : "-");
        assert_int_equal(a.port, 0);
    }
    assert_int_equal(net_parse_ip(view_from("1.2.3.4\0", 8), &(struct net_addr){0}), E_RANGE);
}

static void comparing(void **state)
{
    (void)state;
    struct net_addr a, b, none = {0};
    assert_int_equal(net_parse(VIEW("192.0.2.1:1"), 0, &a), E_OK);
    assert_int_equal(net_parse(VIEW("[::ffff:192.0.2.1]:2"), 0, &b), E_OK);
    assert_true(net_ip_eq(&a, &b) && !net_eq(&a, &b));
    assert_int_equal(net_parse(VIEW("[c000:201::]:1"), 0, &b), E_OK); /* the same first octets */
    assert_false(net_ip_eq(&a, &b) || net_ip_eq(&a, &none));
    const struct {
        const char *text;
        bool loopback;
    } rows[] = {{"127.0.0.1", true},  {"127.255.255.255", true},
                {"::1", true},        {"::ffff:127.0.0.1", true},
                {"126.0.0.1", false}, {"::", false},
                {"0.0.0.0", false},   {"::2", false},
                {"7f00::1", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(net_parse_ip(view_of(rows[i].text), &a), E_OK);
        assert_int_equal(net_is_loopback(&a), rows[i].loopback);
    }
    assert_false(net_is_loopback(&none));
}

static void socket_structures(void **state)
{
    (void)state;
    const char *const rows[] = {"192.0.2.1:5060", "[2001:db8::1]:65535", "[::]:0"};
    struct sockaddr_storage sa;
    for (size_t i = 0; i < 3; i++) {
        struct net_addr a, b;
        assert_int_equal(net_parse(view_of(rows[i]), 0, &a), E_OK);
        socklen_t n = net_to_sockaddr(&a, &sa);
        assert_int_equal(n, i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        assert_int_equal(net_from_sockaddr((struct sockaddr *)&sa, &b), E_OK);
        assert_memory_equal(&a, &b, sizeof a);
    }
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    memcpy(&mapped.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
    struct net_addr a;
    char text[NET_TEXT_MAX];
    assert_int_equal(net_from_sockaddr((struct sockaddr *)&mapped, &a), E_OK);
    net_text(&a, text);
    assert_string_equal(text, "127.0.0.1:7");
    sa.ss_family = AF_UNIX;
    assert_int_equal(net_from_sockaddr((struct sockaddr *)&sa, &a), E_PARSE);
    assert_int_equal(a.port, 7);
}

static void check_flags(int fd)
{
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void sockets(void **state)
{
    (void)state;
    struct net_addr a = {.family = 4, .ip = {127, 0, 0, 1}}, b, from = a;
    int udp = -1, tcp = -1, client = -1, other = -7;
    from.ip[3] = 9;
    assert_int_equal(net_udp_bind(&a, false, &udp), E_OK);
    assert_int_equal(net_local(udp, &b), E_OK);
    assert_true(net_ip_eq(&a, &b) && b.port != 0);
    check_flags(udp);
    assert_int_equal(net_udp_bind(&b, false, &other), E_IO);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(net_udp_bind(&b, true, &other), E_IO); /* both must agree to share */
    assert_int_equal(other, -7);
    close(udp);
    assert_int_equal(net_udp_bind(&b, true, &udp), E_OK);
    assert_int_equal(net_udp_bind(&b, true, &other), E_OK);
    close(other);
    close(udp);
    assert_int_equal(net_tcp_listen(&a, false, 4, &tcp), E_OK);
    assert_int_equal(net_local(tcp, &b), E_OK);
    assert_int_equal(net_tcp_listen(&b, false, 4, &other), E_IO);
    assert_int_equal(net_tcp_connect(&b, &from, &client), E_OK);
    check_flags(client);
    assert_int_equal(net_local(client, &a), E_OK);
    assert_int_equal(a.ip[3], 9);
    close(client);
    close(tcp);
    from.ip[0] = 192; /* not ours */
    assert_int_equal(net_tcp_connect(&b, &from, &client), E_IO);
    assert_int_equal(errno, EADDRNOTAVAIL);
    assert_int_equal(net_udp_bind(&from, false, &udp), E_IO);
    assert_int_equal(net_local(-1, &a), E_IO);
}

/* An IPv6 socket takes no IPv4: what came in by it could not be answered by it. */
static void six_is_six(void **state)
{
    (void)state;
    struct net_addr six;
    int fd = -1, only = 0;
    socklen_t n = sizeof only;
    assert_int_equal(net_parse(VIEW("[::1]:0"), 0, &six), E_OK);
    if (net_udp_bind(&six, false, &fd) != E_OK) {
        assert_true(errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT); /* no IPv6 on this machine */
        return;
    }
    assert_int_equal(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n), 0);
    assert_int_equal(only, 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_port), cmocka_unit_test(without_port),
        cmocka_unit_test(comparing), cmocka_unit_test(socket_structures),
        cmocka_unit_test(sockets),   cmocka_unit_test(six_is_six),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
