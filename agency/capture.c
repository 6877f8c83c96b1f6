/* Two containers of packets, the links below IP, IP, UDP. */
#include "agency/capture.h"

#include <string.h>

#include "base/mem.h"

enum { BLOCK_FIRST = 4096, BLOCK_MAX = 256 * 1024, INTERFACES_MAX = 64, MICROSECONDS = 1000000 };
enum { PCAP_HEAD = 24, PCAP_RECORD = 16, NG_HEAD = 8, NG_TAIL = 4 };
enum { NG_INTERFACE = 1, NG_ENHANCED = 6 };
enum { OPTION_END = 0, OPTION_RESOLUTION = 9, OPTION_OFFSET = 14 };
enum { PROTOCOL_UDP = 17, TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, TYPE_VLAN = 0x8100 };
enum { TYPE_PROVIDER_VLAN = 0x88a8, UDP_HEAD = 8, IPV6_HEAD = 40, IPV4_HEAD = 20 };

#define PCAP_MICRO   0xa1b2c3d4U
#define PCAP_NANO    0xa1b23c4dU
#define NG_SECTION   0x0a0d0d0aU
#define NG_BYTEORDER 0x1a2b3c4dU
#define NO_TYPE      SIZE_MAX

struct interface {
    uint16_t link;
    uint8_t resolution; /* a power of ten; with the top bit of two */
    uint64_t offset_s;
};

struct capture {
    FILE *f;
    bool is_ng, is_little;
    uint64_t fractions; /* pcap: of a second */
    struct interface interface[INTERFACES_MAX];
    size_t n_interfaces;
    struct capture_counts counts;
    uint8_t *block;
    size_t room;
};

/* ---- octets ------------------------------------------------------------------------------------
 */
static uint32_t big(const uint8_t *p, unsigned n)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

/* A number of the file in the byte order of who wrote it. */
static uint32_t number(const struct capture *c, const uint8_t *p, unsigned n)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        v = v << 8 | p[c->is_little ? n - 1 - i : i];
    }
    return v;
}

/* n octets of the file. E_NOTFOUND: it ends right here; E_PARSE: within. */
static enum err take(struct capture *c, uint8_t *dst, size_t n)
{
    size_t got = fread(dst, 1, n, c->f);

    if (got == n) {
        return E_OK;
    }
    if (ferror(c->f) != 0) {
        return FAIL(E_IO);
    }
    return FAIL(got == 0 ? E_NOTFOUND : E_PARSE);
}

/* The same within something that has begun. */
static enum err take_rest(struct capture *c, uint8_t *dst, size_t n)
{
    enum err e = n > 0 ? take(c, dst, n) : E_OK;

    return e == E_NOTFOUND ? FAIL(E_PARSE) : e;
}

/* n octets, at most BLOCK_MAX, to c->block. */
static enum err take_block(struct capture *c, size_t n)
{
    size_t room = c->room;
    uint8_t *block = NULL;

    while (room < n) {
        room *= 2;
    }
    if (room != c->room) {
        block = mem_resize(c->block, room);
        if (block == NULL) {
            return FAIL(E_NOMEM);
        }
        c->block = block;
        c->room = room;
    }
    return take_rest(c, c->block, n);
}

/* ---- links, IP, UDP ----------------------------------------------------------------------------
 */
static const struct {
    uint16_t link;
    size_t head, type_at; /* NO_TYPE: the IP header itself tells */
} links[] = {{0, 4, NO_TYPE},   {1, 14, 12},       {12, 0, NO_TYPE}, {14, 0, NO_TYPE},
             {101, 0, NO_TYPE}, {108, 4, NO_TYPE}, {113, 16, 14},    {228, 0, NO_TYPE},
             {229, 0, NO_TYPE}, {276, 20, 0}};

/* What is behind the link's head, when that is IP. */
static bool find_ip(uint16_t link, const uint8_t *p, size_t n, struct view *out)
{
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        size_t at = links[i].head;
        uint32_t type = TYPE_IPV4;
        if (links[i].link != link || n < at) {
            continue;
        }
        if (links[i].type_at != NO_TYPE) {
            type = big(p + links[i].type_at, 2);
        }
        while ((type == TYPE_VLAN || type == TYPE_PROVIDER_VLAN) && n - at >= 4) {
            type = big(p + at + 2, 2);
            at += 4;
        }
        *out = view_from(p + at, n - at);
        return type == TYPE_IPV4 || type == TYPE_IPV6;
    }
    return false;
}

enum found { FOUND_NOTHING, FOUND_FRAGMENT, FOUND_CUT, FOUND_UDP };

static enum found find_udp4(const uint8_t *p, size_t n, struct capture_datagram *d,
                            struct view *out)
{
    size_t head = 4 * (size_t)(p[0] & 0x0f), total = 0;

    if (n < IPV4_HEAD || head < IPV4_HEAD || p[9] != PROTOCOL_UDP) {
        return FOUND_NOTHING;
    }
    if ((big(p + 6, 2) & 0x3fff) != 0) { /* more of it follows, or came before */
        return FOUND_FRAGMENT;
    }
    total = big(p + 2, 2);
    total = total == 0 || total > n ? n : total; /* 0: the network card was to fill it in */
    if (total < head) {
        return FOUND_CUT;
    }
    d->from = (struct net_addr){.family = 4};
    d->to = d->from;
    memcpy(d->from.ip, p + 12, 4);
    memcpy(d->to.ip, p + 16, 4);
    *out = view_from(p + head, total - head);
    return FOUND_UDP;
}

static enum found find_udp6(const uint8_t *p, size_t n, struct capture_datagram *d,
                            struct view *out)
{
    size_t at = IPV6_HEAD, end = 0;
    uint8_t next = 0;

    if (n < IPV6_HEAD) {
        return FOUND_CUT;
    }
    next = p[6];
    end = IPV6_HEAD + big(p + 4, 2);
    end = end > n ? n : end;
    while ((next == 0 || next == 43 || next == 60) && end - at >= 8) { /* further heads */
        size_t head = 8 * ((size_t)p[at + 1] + 1);
        if (head > end - at) {
            return FOUND_CUT;
        }
        next = p[at];
        at += head;
    }
    if (next == 44) {
        return FOUND_FRAGMENT;
    }
    if (next != PROTOCOL_UDP) {
        return FOUND_NOTHING;
    }
    d->from = (struct net_addr){.family = 6};
    d->to = d->from;
    memcpy(d->from.ip, p + 8, 16);
    memcpy(d->to.ip, p + 24, 16);
    *out = view_from(p + at, end - at);
    return FOUND_UDP;
}

static enum found find_datagram(uint16_t link, const uint8_t *p, size_t n,
                                struct capture_datagram *d)
{
    struct view ip = {0}, udp = {0};
    enum found found = FOUND_NOTHING;
    const uint8_t *head = NULL;

    if (!find_ip(link, p, n, &ip) || ip.n == 0) {
        return FOUND_NOTHING;
    }
    head = (const uint8_t *)ip.p;
    if (head[0] >> 4 == 4) {
        found = find_udp4(head, ip.n, d, &udp);
    } else if (head[0] >> 4 == 6) {
        found = find_udp6(head, ip.n, d, &udp);
    }
    if (found != FOUND_UDP) {
        return found;
    }
    head = (const uint8_t *)udp.p;
    if (udp.n < UDP_HEAD || big(head + 4, 2) < UDP_HEAD || big(head + 4, 2) > udp.n) {
        return FOUND_CUT;
    }
    d->from.port = (uint16_t)big(head, 2);
    d->to.port = (uint16_t)big(head + 2, 2);
    d->payload = view_from(head + UDP_HEAD, big(head + 4, 2) - UDP_HEAD);
    return FOUND_UDP;
}

/* True: d is a datagram. */
static bool count(struct capture *c, uint16_t link, const uint8_t *p, size_t n,
                  struct capture_datagram *d)
{
    enum found found = find_datagram(link, p, n, d);

    c->counts.packets++;
    c->counts.datagrams += found == FOUND_UDP;
    c->counts.fragments += found == FOUND_FRAGMENT;
    c->counts.cut += found == FOUND_CUT;
    return found == FOUND_UDP;
}

/* ---- pcap --------------------------------------------------------------------------------------
 */
static enum err open_pcap(struct capture *c, const uint8_t *magic)
{
    uint8_t rest[PCAP_HEAD - 4];
    uint32_t m = big(magic, 4);
    enum err e = E_OK;

    c->is_little = m != PCAP_MICRO && m != PCAP_NANO;
    m = number(c, magic, 4);
    if (m != PCAP_MICRO && m != PCAP_NANO) {
        return FAIL(E_PARSE);
    }
    TRY(take_rest(c, rest, sizeof rest));
    c->fractions = m == PCAP_NANO ? 1000000000 : MICROSECONDS;
    c->interface[0].link = (uint16_t)number(c, rest + 16, 4);
    c->n_interfaces = 1;
out:
    return e;
}

/* *found: out is a datagram. */
static enum err next_pcap(struct capture *c, struct capture_datagram *out, bool *found)
{
    uint8_t head[PCAP_RECORD];
    uint32_t n = 0;
    enum err e = E_OK;

    TRY(take(c, head, sizeof head));
    n = number(c, head + 8, 4);
    if (n > BLOCK_MAX) {
        return FAIL(E_PARSE);
    }
    TRY(take_block(c, n));
    out->at_us = (uint64_t)number(c, head, 4) * MICROSECONDS +
                 number(c, head + 4, 4) / (c->fractions / MICROSECONDS);
    *found = count(c, c->interface[0].link, c->block, n, out);
out:
    return e;
}

/* ---- pcapng ------------------------------------------------------------------------------------
 */
/* The head of a section, whose own byte order comes behind its length. */
static enum err open_section(struct capture *c, const uint8_t *length)
{
    uint8_t order[4];
    uint32_t n = 0;
    enum err e = E_OK;

    TRY(take_rest(c, order, sizeof order));
    c->is_little = big(order, 4) != NG_BYTEORDER;
    if (number(c, order, 4) != NG_BYTEORDER) {
        return FAIL(E_PARSE);
    }
    n = number(c, length, 4);
    if (n < NG_HEAD + 4 + NG_TAIL || n > BLOCK_MAX || n % 4 != 0) {
        return FAIL(E_PARSE);
    }
    c->n_interfaces = 0;
    TRY(take_block(c, n - NG_HEAD - 4));
out:
    return e;
}

static void read_options(const struct capture *c, struct interface *i, size_t at, size_t n)
{
    while (n - at >= 4) {
        const uint8_t *p = c->block + at;
        uint32_t code = number(c, p, 2), length = number(c, p + 2, 2);
        size_t padded = 4 + ((length + 3) & ~(size_t)3);
        if (code == OPTION_END || padded > n - at) {
            return;
        }
        if (code == OPTION_RESOLUTION && length == 1) {
            i->resolution = p[4];
        } else if (code == OPTION_OFFSET && length == 8) {
            uint64_t high = number(c, c->is_little ? p + 8 : p + 4, 4);
            i->offset_s = high << 32 | number(c, c->is_little ? p + 4 : p + 8, 4);
        }
        at += padded;
    }
}

static enum err add_interface(struct capture *c, size_t n)
{
    struct interface *i = &c->interface[c->n_interfaces];

    if (n < 8 || c->n_interfaces == INTERFACES_MAX) {
        return FAIL(E_PARSE);
    }
    *i = (struct interface){.link = (uint16_t)number(c, c->block, 2), .resolution = 6};
    read_options(c, i, 8, n);
    c->n_interfaces++;
    return E_OK;
}

static uint64_t microseconds(const struct interface *i, uint64_t ticks)
{
    unsigned power = i->resolution & 0x7f;
    uint64_t per_us = 1;

    if ((i->resolution & 0x80) != 0) { /* parts of a second by powers of two */
        if (power > 63) {
            return i->offset_s * MICROSECONDS;
        }
        uint64_t seconds = ticks >> power, part = ticks & ((UINT64_C(1) << power) - 1);
        if (power > 40) {
            part >>= power - 40;
            power = 40;
        }
        return (i->offset_s + seconds) * MICROSECONDS + (part * MICROSECONDS >> power);
    }
    for (; power < 6; power++) {
        ticks *= 10;
    }
    for (; power > 6 && power <= 19; power--) {
        per_us *= 10;
    }
    return i->offset_s * MICROSECONDS + ticks / per_us;
}

static enum err take_enhanced(struct capture *c, size_t n, struct capture_datagram *out,
                              bool *found)
{
    const uint8_t *p = c->block;
    uint32_t which = 0, length = 0;

    if (n < 20) {
        return FAIL(E_PARSE);
    }
    which = number(c, p, 4);
    length = number(c, p + 12, 4);
    if (which >= c->n_interfaces || length > n - 20) {
        return FAIL(E_PARSE);
    }
    out->at_us = microseconds(&c->interface[which],
                              (uint64_t)number(c, p + 4, 4) << 32 | number(c, p + 8, 4));
    *found = count(c, c->interface[which].link, p + 20, length, out);
    return E_OK;
}

static enum err next_block(struct capture *c, struct capture_datagram *out, bool *found)
{
    uint8_t head[NG_HEAD];
    uint32_t n = 0, type = 0;
    enum err e = E_OK;

    TRY(take(c, head, sizeof head));
    type = number(c, head, 4);
    if (type == NG_SECTION) { /* the same in either order */
        return open_section(c, head + 4);
    }
    n = number(c, head + 4, 4);
    if (n < NG_HEAD + NG_TAIL || n > BLOCK_MAX || n % 4 != 0) {
        return FAIL(E_PARSE);
    }
    TRY(take_block(c, n - NG_HEAD));
    if (type == NG_INTERFACE) {
        return add_interface(c, n - NG_HEAD - NG_TAIL);
    }
    if (type == NG_ENHANCED) {
        return take_enhanced(c, n - NG_HEAD - NG_TAIL, out, found);
    }
out:
    return e; /* names, statistics, packets without a time: passed over */
}

/* ---- outside -----------------------------------------------------------------------------------
 */
enum err capture_open(FILE *f, struct capture **out)
{
    struct capture *c = mem_zalloc(sizeof *c);
    uint8_t magic[4], length[4];
    enum err e = E_OK;

    if (c == NULL) {
        return FAIL(E_NOMEM);
    }
    c->f = f;
    c->room = BLOCK_FIRST;
    c->block = mem_zalloc(BLOCK_FIRST);
    if (c->block == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(take_rest(c, magic, sizeof magic));
    c->is_ng = big(magic, 4) == NG_SECTION;
    if (c->is_ng) {
        TRY(take_rest(c, length, sizeof length));
        TRY(open_section(c, length));
    } else {
        TRY(open_pcap(c, magic));
    }
    *out = c;
out:
    if (e != E_OK) {
        capture_close(c);
    }
    return e;
}

enum err capture_next(struct capture *c, struct capture_datagram *out)
{
    struct capture_datagram d = {0};
    bool found = false;
    enum err e = E_OK;

    while (!found) {
        TRY(c->is_ng ? next_block(c, &d, &found) : next_pcap(c, &d, &found));
    }
    *out = d;
out:
    return e;
}

struct capture_counts capture_counts(const struct capture *c)
{
    return c->counts;
}

void capture_close(struct capture *c)
{
    if (c != NULL) {
        mem_free(c->block);
        mem_free(c);
    }
}
