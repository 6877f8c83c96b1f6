/* Addresses of this machine. */
#include "bti/here.h"

#include <ifaddrs.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crypto.h"

enum err here_address(const struct net_addr *remote, struct net_addr *out)
{
    struct sockaddr_storage sa;
    socklen_t n = net_to_sockaddr(remote, &sa);
    struct net_addr a = {0};
    enum err e = E_OK;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return FAIL(E_IO);
    }
    e = connect(fd, (const struct sockaddr *)&sa, n) == 0 ? net_local(fd, &a) : FAIL(E_IO);
    close(fd);
    if (e == E_OK) {
        a.port = 0;
        *out = a;
    }
    return e;
}

static bool is_of(const struct ifaddrs *i, const struct net_addr *local)
{
    struct net_addr a;

    return i->ifa_addr != NULL && net_from_sockaddr(i->ifa_addr, &a) == E_OK &&
           net_ip_eq(&a, local);
}

static bool has_mac(const struct ifaddrs *i, const char *name, uint8_t out[6])
{
    static const uint8_t none[6] = {0};
    struct sockaddr_ll ll;

    if (i->ifa_addr == NULL || i->ifa_name == NULL || i->ifa_addr->sa_family != AF_PACKET ||
        strcmp(i->ifa_name, name) != 0) {
        return false;
    }
    memcpy(&ll, i->ifa_addr, sizeof ll);
    if (ll.sll_halen != 6 || memcmp(ll.sll_addr, none, 6) == 0) {
        return false;
    }
    memcpy(out, ll.sll_addr, 6);
    return true;
}

enum err here_mac(const struct net_addr *local, uint8_t out[6])
{
    struct ifaddrs *all = NULL;
    const char *name = NULL;
    bool found = false;

    if (getifaddrs(&all) != 0) {
        return FAIL(E_IO);
    }
    for (const struct ifaddrs *i = all; i != NULL && name == NULL; i = i->ifa_next) {
        name = is_of(i, local) ? i->ifa_name : NULL;
    }
    for (const struct ifaddrs *i = all; i != NULL && name != NULL && !found; i = i->ifa_next) {
        found = has_mac(i, name, out);
    }
    freeifaddrs(all);
    return found ? E_OK : FAIL(E_NOTFOUND);
}

uint64_t here_jitter(uint64_t below)
{
    uint64_t r = 0;

    if (below == 0 || crypto_random(&r, sizeof r) != E_OK) {
        return 0;
    }
    return r % below;
}
