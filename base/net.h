/* base/net.h - network addresses as values. Numeric only: nothing here resolves names.
 * Text form: "192.0.2.1:5060", "[2001:db8::1]:5060". Threads: safe. */
#ifndef BASE_NET_H
#define BASE_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/view.h"

#define NET_TEXT_MAX 56 /* octets incl. NUL */

struct net_addr {
    uint8_t family; /* 0 none, 4, 6 */
    uint16_t port;  /* host order */
    uint8_t ip[16]; /* network order; IPv4 in the first four; IPv4-mapped IPv6 is stored as IPv4 */
};

MUST_CHECK enum err net_parse(struct view text, uint16_t default_port, struct net_addr *out);
MUST_CHECK enum err net_parse_ip(struct view text,
                                 struct net_addr *out);             /* no port; IPv6 may have [] */
void net_text(const struct net_addr *a, char out[NET_TEXT_MAX]);    /* with port */
void net_ip_text(const struct net_addr *a, char out[NET_TEXT_MAX]); /* bare address, no [] */
bool net_eq(const struct net_addr *a, const struct net_addr *b);
bool net_ip_eq(const struct net_addr *a, const struct net_addr *b);
bool net_is_loopback(const struct net_addr *a);
socklen_t net_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *out);
MUST_CHECK enum err net_from_sockaddr(const struct sockaddr *sa, struct net_addr *out);
/* Non-blocking, close-on-exec sockets; E_IO with errno kept. reuse: SO_REUSEPORT. */
MUST_CHECK enum err net_udp_bind(const struct net_addr *a, bool reuse, int *out_fd);
MUST_CHECK enum err net_tcp_listen(const struct net_addr *a, bool reuse, int backlog, int *out_fd);
MUST_CHECK enum err
net_tcp_connect(const struct net_addr *to, const struct net_addr *from_or_null,
                int *out_fd); /* in progress: wait for writable, then SO_ERROR */
MUST_CHECK enum err net_local(int fd, struct net_addr *out);

#endif
