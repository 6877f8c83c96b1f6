/* tests/unit/dns_zone.h - a small DNS server on loopback for tests: a table of records, and the
 * ways in which servers fail. */
#ifndef TESTS_UNIT_DNS_ZONE_H
#define TESTS_UNIT_DNS_ZONE_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/net.h"

struct zone_row {
    const char *name; /* lower case */
    uint16_t type;    /* 1 A, 5 CNAME, 28 AAAA, 33 SRV, 35 NAPTR */
    uint32_t ttl;
    uint16_t a, b, port; /* SRV priority weight port; NAPTR order preference */
    const char *text;    /* address, or target name */
    const char *service; /* NAPTR; flags are "s" */
};

enum zone_mood { ZONE_GOOD, ZONE_SILENT, ZONE_SERVFAIL, ZONE_GARBAGE, ZONE_OTHER_NAME };

struct zone {
    const struct zone_row *rows;
    size_t n;
    enum zone_mood mood;
    unsigned asked;
    int fd;
    struct net_addr address;
    struct loop_io *io;
    uint8_t out[4096];
    size_t out_n;
};

static inline void zone_u16(struct zone *z, unsigned v)
{
    z->out[z->out_n++] = (uint8_t)(v >> 8);
    z->out[z->out_n++] = (uint8_t)v;
}

static inline void zone_name(struct zone *z, const char *name)
{
    while (*name != 0) {
        size_t n = strcspn(name, ".");
        z->out[z->out_n++] = (uint8_t)n;
        memcpy(z->out + z->out_n, name, n);
        z->out_n += n;
        name += n + (name[n] == '.');
    }
    z->out[z->out_n++] = 0;
}

static inline void zone_data(struct zone *z, const struct zone_row *r)
{
    switch (r->type) {
    case 1:
        z->out_n += inet_pton(AF_INET, r->text, z->out + z->out_n) == 1 ? 4 : 0;
        break;
    case 28:
        z->out_n += inet_pton(AF_INET6, r->text, z->out + z->out_n) == 1 ? 16 : 0;
        break;
    case 33:
        zone_u16(z, r->a);
        zone_u16(z, r->b);
        zone_u16(z, r->port);
        zone_name(z, r->text);
        break;
    case 35:
        zone_u16(z, r->a);
        zone_u16(z, r->b);
        memcpy(z->out + z->out_n, "\1s", 2);
        z->out_n += 2;
        z->out[z->out_n++] = (uint8_t)strlen(r->service);
        memcpy(z->out + z->out_n, r->service, strlen(r->service));
        z->out_n += strlen(r->service);
        z->out[z->out_n++] = 0;
        zone_name(z, r->text);
        break;
    default:
        zone_name(z, r->text);
    }
}

static inline void zone_record(struct zone *z, const struct zone_row *r)
{
    size_t at = 0;
    zone_name(z, r->name);
    zone_u16(z, r->type);
    zone_u16(z, 1);
    zone_u16(z, r->ttl >> 16);
    zone_u16(z, r->ttl & 0xffff);
    at = z->out_n;
    zone_u16(z, 0);
    zone_data(z, r);
    z->out[at] = (uint8_t)((z->out_n - at - 2) >> 8);
    z->out[at + 1] = (uint8_t)(z->out_n - at - 2);
}

static inline void zone_soa(struct zone *z, uint32_t minimum)
{
    zone_name(z, "test");
    zone_u16(z, 6);
    zone_u16(z, 1);
    zone_u16(z, 0);
    zone_u16(z, 900);
    zone_u16(z, 22);
    z->out[z->out_n++] = 0;
    z->out[z->out_n++] = 0;
    memset(z->out + z->out_n, 0, 16);
    z->out_n += 16;
    zone_u16(z, minimum >> 16);
    zone_u16(z, minimum & 0xffff);
}

static inline bool zone_has_name(const struct zone *z, const char *name)
{
    for (size_t i = 0; i < z->n; i++) {
        if (strcmp(z->rows[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Records of the name; a CNAME is followed as a resolver does, with an end. */
static inline unsigned zone_answers(struct zone *z, const char *name, uint16_t type)
{
    unsigned n = 0;
    for (unsigned hop = 0; hop < 12; hop++) {
        const char *alias = NULL;
        for (size_t i = 0; i < z->n; i++) {
            const struct zone_row *r = &z->rows[i];
            if (strcmp(r->name, name) == 0 && (r->type == type || r->type == 5)) {
                zone_record(z, r);
                n++;
                alias = r->type == 5 ? r->text : NULL;
            }
        }
        if (alias == NULL) {
            break;
        }
        name = alias;
    }
    return n;
}

static inline void zone_reply(struct zone *z, const uint8_t *q, size_t n)
{
    char name[300] = "";
    size_t at = 12, used = 0;
    uint16_t type = 0;
    unsigned answers = 0;
    bool soa = false;
    while (at < n && q[at] != 0 && used + q[at] + 2 < sizeof name) {
        for (unsigned i = 1; i <= q[at]; i++) {
            char c = (char)q[at + i];
            name[used++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        at += 1u + q[at];
        name[used++] = '.';
    }
    name[used > 0 ? used - 1 : 0] = 0;
    type = (uint16_t)(q[at + 1] << 8 | q[at + 2]);
    memset(z->out, 0, sizeof z->out);
    memcpy(z->out, q, at + 5);
    z->out_n = at + 5;
    z->out[2] = 0x81;
    z->out[3] = 0x80;
    z->out[5] = 1;
    z->out[7] = z->out[9] = z->out[11] = 0;
    if (z->mood == ZONE_SERVFAIL) {
        z->out[3] = 0x82;
        return;
    }
    if (z->mood == ZONE_GARBAGE) {
        z->out[7] = 3;
        memset(z->out + z->out_n, 0xc0, 40);
        z->out_n += 40;
        return;
    }
    answers = zone_answers(z, z->mood == ZONE_OTHER_NAME ? "other.test" : name, type);
    soa = answers == 0;
    if (soa) {
        zone_soa(z, 77);
        z->out[3] = zone_has_name(z, name) ? 0x80 : 0x83;
    }
    z->out[7] = (uint8_t)answers;
    z->out[9] = soa;
}

static inline void zone_on_read(void *arg, int fd, unsigned events)
{
    struct zone *z = arg;
    struct sockaddr_storage from;
    socklen_t from_n = sizeof from;
    uint8_t in[512];
    ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &from_n);
    (void)events;
    if (n < 17) {
        return;
    }
    z->asked++;
    if (z->mood != ZONE_SILENT) {
        zone_reply(z, in, (size_t)n);
        (void)sendto(fd, z->out, z->out_n, 0, (struct sockaddr *)&from, from_n);
    }
}

static inline enum err zone_open(struct zone *z, struct loop *l)
{
    struct net_addr any;
    enum err e = net_parse(view_of("127.0.0.1:0"), 0, &any);
    TRY(e);
    TRY(net_udp_bind(&any, false, &z->fd));
    TRY(net_local(z->fd, &z->address));
    TRY(loop_io_start(l, z->fd, LOOP_READ, zone_on_read, z, &z->io));
out:
    return e;
}

static inline void zone_close(struct zone *z)
{
    loop_io_stop(z->io);
    close(z->fd);
}

#endif
