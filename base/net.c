#include "base/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void fold_mapped(struct net_addr *a)
{
    if (a->family == 6 && memcmp(a->ip, mapped, sizeof mapped) == 0) {
        memmove(a->ip, a->ip + 12, 4);
        memset(a->ip + 4, 0, 12);
        a->family = 4;
    }
}

enum err net_parse_ip(struct view text, struct net_addr *out)
{
    enum err e = E_PARSE;
    char buf[NET_TEXT_MAX];
    struct net_addr a = {0};
    bool bracketed = text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']';

    if (bracketed) { /* RFC 3986 section 3.2.2: around IPv6 only */
        text = view_sub(text, 1, text.n - 2);
    }
    TRY(view_to_cstr(text, buf, sizeof buf));
    if (!bracketed && inet_pton(AF_INET, buf, a.ip) == 1) {
        a.family = 4;
    } else if (inet_pton(AF_INET6, buf, a.ip) == 1) {
        a.family = 6;
        fold_mapped(&a);
    } else {
        TRY(FAIL(E_PARSE));
    }
    *out = a;
out:
    return e;
}

enum err net_parse(struct view text, uint16_t default_port, struct net_addr *out)
{
    enum err e = E_PARSE;
    struct net_addr a = {0};
    struct view host = text;
    uint64_t port = default_port;
    size_t colon = 0;

    if (text.n > 0 && text.p[0] == '[') {
        size_t close = 0;
        if (!view_find(text, ']', &close)) {
            TRY(FAIL(E_PARSE));
        }
        host = view_sub(text, 0, close + 1);
        text = view_sub(text, close + 1, text.n);
        if (text.n > 0) {
            if (text.p[0] != ':') {
                TRY(FAIL(E_PARSE));
            }
            TRY(view_to_u64(view_sub(text, 1, text.n), 65535, &port));
        }
    } else if (view_find(text, ':', &colon)) {
        host = view_sub(text, 0, colon);
        TRY(view_to_u64(view_sub(text, colon + 1, text.n), 65535, &port));
    }
    TRY(net_parse_ip(host, &a));
    a.port = (uint16_t)port;
    *out = a;
out:
    return e;
}

void net_ip_text(const struct net_addr *a, char out[NET_TEXT_MAX])
{
    if (a->family == 0 ||
        inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, out, NET_TEXT_MAX) == NULL) {
        memcpy(out, "-", 2);
    }
}

void net_text(const struct net_addr *a, char out[NET_TEXT_MAX])
{
    char ip[NET_TEXT_MAX];

    net_ip_text(a, ip);
    snprintf(out, NET_TEXT_MAX, a->family == 6 ? "[%.45s]:%u" : "%.45s:%u", ip, a->port);
}

bool net_ip_eq(const struct net_addr *a, const struct net_addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

bool net_eq(const struct net_addr *a, const struct net_addr *b)
{
    return net_ip_eq(a, b) && a->port == b->port;
}

bool net_is_loopback(const struct net_addr *a)
{
    static const uint8_t one[16] = {[15] = 1};

    return a->family == 4 ? a->ip[0] == 127 : a->family == 6 && memcmp(a->ip, one, 16) == 0;
}

socklen_t net_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (a->family == 6) {
        struct sockaddr_in6 *s = (struct sockaddr_in6 *)out;
        s->sin6_family = AF_INET6;
        s->sin6_port = htons(a->port);
        memcpy(&s->sin6_addr, a->ip, 16);
        return sizeof *s;
    }
    struct sockaddr_in *s = (struct sockaddr_in *)out;
    s->sin_family = AF_INET;
    s->sin_port = htons(a->port);
    memcpy(&s->sin_addr, a->ip, 4);
    return sizeof *s;
}

enum err net_from_sockaddr(const struct sockaddr *sa, struct net_addr *out)
{
    struct net_addr a = {0};

    if (sa->sa_family == AF_INET) {
        struct sockaddr_in s;
        memcpy(&s, sa, sizeof s);
        a.family = 4;
        a.port = ntohs(s.sin_port);
        memcpy(a.ip, &s.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 s;
        memcpy(&s, sa, sizeof s);
        a.family = 6;
        a.port = ntohs(s.sin6_port);
        memcpy(a.ip, &s.sin6_addr, 16);
        fold_mapped(&a);
    } else {
        return FAIL(E_PARSE);
    }
    *out = a;
    return E_OK;
}

static int open_socket(const struct net_addr *a, int type, bool reuse)
{
    int one = 1;
    int fd = socket(a->family == 6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && a->family == 6) { /* IPv4 has its own sockets: replies could not leave by this */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    }
    if (fd >= 0 && reuse) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    }
    if (fd >= 0 && type == SOCK_STREAM) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    return fd;
}

static enum err fail_close(int fd)
{
    int keep = errno;

    if (fd >= 0) {
        close(fd);
    }
    errno = keep;
    return FAIL(E_IO);
}

enum err net_udp_bind(const struct net_addr *a, bool reuse, int *out_fd)
{
    struct sockaddr_storage sa;
    socklen_t n = net_to_sockaddr(a, &sa);
    int fd = open_socket(a, SOCK_DGRAM, reuse);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, n) != 0) {
        return fail_close(fd);
    }
    *out_fd = fd;
    return E_OK;
}

enum err net_tcp_listen(const struct net_addr *a, bool reuse, int backlog, int *out_fd)
{
    struct sockaddr_storage sa;
    socklen_t n = net_to_sockaddr(a, &sa);
    int fd = open_socket(a, SOCK_STREAM, reuse);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, n) != 0 || listen(fd, backlog) != 0) {
        return fail_close(fd);
    }
    *out_fd = fd;
    return E_OK;
}

enum err net_tcp_connect(const struct net_addr *to, const struct net_addr *from_or_null,
                         int *out_fd)
{
    struct sockaddr_storage sa;
    socklen_t n = 0;
    int fd = open_socket(to, SOCK_STREAM, false);

    if (fd >= 0 && from_or_null != NULL && from_or_null->family != 0) {
        n = net_to_sockaddr(from_or_null, &sa);
        if (bind(fd, (const struct sockaddr *)&sa, n) != 0) {
            return fail_close(fd);
        }
    }
    n = net_to_sockaddr(to, &sa);
    if (fd < 0 || (connect(fd, (const struct sockaddr *)&sa, n) != 0 && errno != EINPROGRESS)) {
        return fail_close(fd);
    }
    *out_fd = fd;
    return E_OK;
}

enum err net_local(int fd, struct net_addr *out)
{
    struct sockaddr_storage sa = {0};
    socklen_t n = sizeof sa;

    if (getsockname(fd, (struct sockaddr *)&sa, &n) != 0) {
        return FAIL(E_IO);
    }
    return net_from_sockaddr((const struct sockaddr *)&sa, out);
}
