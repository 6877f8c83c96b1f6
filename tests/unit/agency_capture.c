/* Capture files: every container, byte order, link and clock gives the same datagram; what is
 * damaged ends the reading, what is none is passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "agency/capture.h"
#include "base/mem.h"

enum { ROOM = 4096, PCAP_LARGE = 60000 };

struct octets {
    uint8_t b[ROOM];
    size_t n;
    bool little;
};

static void put(struct octets *o, const void *p, size_t n)
{
    assert_true(o->n + n <= ROOM);
    memcpy(o->b + o->n, p, n);
    o->n += n;
}

static void number(struct octets *o, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t b = (uint8_t)(v >> 8 * (o->little ? i : n - 1 - i));
        put(o, &b, 1);
    }
}

/* Always as on the wire. */
static void wire(struct octets *o, uint64_t v, unsigned n)
{
    bool little = o->little;

    o->little = false;
    number(o, v, n);
    o->little = little;
}

#define PAYLOAD "voice"
#define AT_S    1700000000U
#define AT_US   123456U

static void udp(struct octets *o)
{
    wire(o, 4000, 2);
    wire(o, 5000, 2);
    wire(o, 8 + sizeof PAYLOAD - 1, 2);
    wire(o, 0, 2);
    put(o, PAYLOAD, sizeof PAYLOAD - 1);
}

static void ipv4(struct octets *o, uint16_t fragment, uint8_t protocol)
{
    wire(o, 0x4600, 2); /* with four octets of options */
    wire(o, 24 + 8 + sizeof PAYLOAD - 1, 2);
    wire(o, 0, 2);
    wire(o, fragment, 2);
    wire(o, 0x4000U | protocol, 2);
    wire(o, 0, 2);
    put(o, "\xc0\x00\x02\x01\xc0\x00\x02\x02\x01\x01\x01\x01", 12);
    udp(o);
}

static void ipv6(struct octets *o, uint8_t first)
{
    wire(o, 0x60000000, 4);
    wire(o, 8 + 8 + sizeof PAYLOAD - 1, 2);
    wire(o, first * 0x100U + 64, 2);
    put(o, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    put(o, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    wire(o, 0x1100, 2); /* UDP follows */
    put(o, "\0\0\0\0\0\0", 6);
    udp(o);
}

/* A packet on one link. */
static void packet4(struct octets *o, const char *link_head, size_t n)
{
    put(o, link_head, n);
    ipv4(o, 0x4000, 17);
}

static void pcap_head(struct octets *o, uint32_t magic, uint16_t link)
{
    number(o, magic, 4);
    number(o, 2, 2);
    number(o, 4, 2);
    number(o, 0, 8);
    number(o, 65535, 4);
    number(o, link, 4);
}

static void pcap_record(struct octets *o, uint32_t fraction, const struct octets *packet)
{
    number(o, AT_S, 4);
    number(o, fraction, 4);
    number(o, packet->n, 4);
    number(o, packet->n, 4);
    put(o, packet->b, packet->n);
}

static void block(struct octets *o, uint32_t type, const struct octets *body)
{
    size_t padded = (body->n + 3) & ~(size_t)3;

    number(o, type, 4);
    number(o, padded + 12, 4);
    put(o, body->b, body->n);
    put(o, "\0\0\0", padded - body->n);
    number(o, padded + 12, 4);
}

static void section(struct octets *o)
{
    struct octets body = {.little = o->little};

    number(&body, 0x1a2b3c4d, 4);
    number(&body, 1, 2);
    number(&body, 0, 2);
    number(&body, UINT64_MAX, 8);
    block(o, 0x0a0d0d0a, &body);
}

/* resolution -1: none said. */
static void interface(struct octets *o, uint16_t link, int resolution, uint64_t offset)
{
    struct octets body = {.little = o->little};

    number(&body, link, 2);
    number(&body, 0, 2);
    number(&body, 65535, 4);
    if (resolution >= 0) {
        number(&body, 9, 2);
        number(&body, 1, 2);
        number(&body, (uint64_t)resolution, 1);
        put(&body, "\0\0\0", 3);
        number(&body, 14, 2);
        number(&body, 8, 2);
        number(&body, offset, 8);
        number(&body, 0, 4);
    }
    block(o, 1, &body);
}

static void enhanced(struct octets *o, uint32_t which, uint64_t ticks, const struct octets *packet)
{
    struct octets body = {.little = o->little};

    number(&body, which, 4);
    number(&body, ticks >> 32, 4);
    number(&body, ticks & UINT32_MAX, 4);
    number(&body, packet->n, 4);
    number(&body, packet->n, 4);
    put(&body, packet->b, packet->n);
    block(o, 6, &body);
}

/* ---- reading -----------------------------------------------------------------------------------
 */
static FILE *file_of(const struct octets *o, struct capture **c, enum err *e)
{
    FILE *f = fmemopen((void *)(uintptr_t)o->b, o->n, "rb");

    assert_non_null(f);
    *c = NULL;
    *e = capture_open(f, c);
    return f;
}

/* How many datagrams, all the same as ours; *end: why it ended. */
static size_t read_all(const struct octets *o, uint8_t family, uint64_t us, enum err *end,
                       struct capture_counts *counts)
{
    struct capture *c = NULL;
    struct capture_datagram d;
    FILE *f = file_of(o, &c, end);
    size_t n = 0;
    char from[NET_TEXT_MAX];

    while (*end == E_OK && (*end = capture_next(c, &d)) == E_OK) {
        n++;
        net_text(&d.from, from);
        assert_string_equal(from, family == 4 ? "192.0.2.1:4000" : "[2001:db8::1]:4000");
        assert_int_equal(d.to.port, 5000);
        assert_true(view_eq(d.payload, VIEW(PAYLOAD)));
        assert_int_equal(d.at_us, us);
    }
    if (c != NULL && counts != NULL) {
        *counts = capture_counts(c);
    }
    capture_close(c);
    fclose(f);
    return n;
}

#define LINK(number, head) number, head, sizeof(head) - 1

static void links(void **state)
{
    (void)state;
    static const struct {
        uint16_t link;
        const char *head;
        size_t n;
        size_t found;
    } rows[] = {
        {LINK(1, "\1\2\3\4\5\6\1\2\3\4\5\6\x08\0"), 1},
        {LINK(1, "\1\2\3\4\5\6\1\2\3\4\5\6\x81\0\0\7\x08\0"), 1},
        {LINK(1, "\1\2\3\4\5\6\1\2\3\4\5\6\x88\xa8\0\7\x81\0\0\7\x08\0"), 1},
        {LINK(1, "\1\2\3\4\5\6\1\2\3\4\5\6\x08\6"), 0},
        {LINK(113, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0"), 1},
        {LINK(276, "\x08\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0"), 1},
        {LINK(101, ""), 1},
        {LINK(228, ""), 1},
        {LINK(0, "\2\0\0\0"), 1},
        {LINK(108, "\0\0\0\2"), 1},
        {LINK(147, ""), 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct octets file = {.little = true}, packet = {.n = 0};
        struct capture_counts counts;
        enum err end = E_OK;
        packet4(&packet, rows[i].head, rows[i].n);
        pcap_head(&file, 0xa1b2c3d4, rows[i].link);
        pcap_record(&file, AT_US, &packet);
        assert_int_equal(read_all(&file, 4, AT_S * UINT64_C(1000000) + AT_US, &end, &counts),
                         rows[i].found);
        assert_int_equal(end, E_NOTFOUND);
        assert_int_equal(counts.packets, 1);
    }
}

static void containers_and_clocks(void **state)
{
    (void)state;
    static const struct {
        bool little;
        int resolution; /* pcapng; -2: pcap, -3: with nanoseconds */
        uint64_t offset, ticks;
    } rows[] = {
        {true, -2, 0, AT_US},
        {false, -2, 0, AT_US},
        {true, -3, 0, AT_US * UINT64_C(1000) + 999},
        {false, -3, 0, AT_US * UINT64_C(1000)},
        {true, -1, 0, AT_S * UINT64_C(1000000) + AT_US},
        {false, -1, 0, AT_S * UINT64_C(1000000) + AT_US},
        {true, 9, 0, (AT_S * UINT64_C(1000000) + AT_US) * 1000},
        {false, 9, AT_S, AT_US * UINT64_C(1000)},
        {true, 0x80 + 20, 0,
         AT_S * (UINT64_C(1) << 20) + 129454},              /* 123456 / 1000000 of 2^20, up */
        {true, 0x80 + 50, AT_S, UINT64_C(139000000000000)}, /* 0.1234568 */
    };
    struct octets packet = {.n = 0};

    packet4(&packet, "", 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct octets file = {.little = rows[i].little};
        enum err end = E_OK;
        if (rows[i].resolution <= -2) {
            pcap_head(&file, rows[i].resolution == -2 ? 0xa1b2c3d4 : 0xa1b23c4d, 101);
            pcap_record(&file, (uint32_t)rows[i].ticks, &packet);
        } else {
            struct octets names = {.little = rows[i].little};
            section(&file);
            interface(&file, 113, -1, 0); /* another one */
            interface(&file, 101, rows[i].resolution, rows[i].offset);
            put(&names, "\0\0\0\0", 4);
            block(&file, 4, &names);
            enhanced(&file, 1, rows[i].ticks, &packet);
        }
        assert_int_equal(read_all(&file, 4, AT_S * UINT64_C(1000000) + AT_US, &end, NULL), 1);
        assert_int_equal(end, E_NOTFOUND);
    }
}

static void two_sections_of_both_byte_orders(void **state)
{
    (void)state;
    struct octets file = {.little = true}, packet = {.n = 0};
    enum err end = E_OK;

    packet4(&packet, "", 0);
    for (unsigned i = 0; i < 2; i++) {
        file.little = i == 0;
        section(&file);
        interface(&file, 101, -1, 0);
        enhanced(&file, 0, AT_S * UINT64_C(1000000) + AT_US, &packet);
    }
    assert_int_equal(read_all(&file, 4, AT_S * UINT64_C(1000000) + AT_US, &end, NULL), 2);
    assert_int_equal(end, E_NOTFOUND);
}

static void ip_of_both_versions(void **state)
{
    (void)state;
    struct octets file = {.little = true}, packet = {.n = 0};
    struct capture_counts counts;
    enum err end = E_OK;

    pcap_head(&file, 0xa1b2c3d4, 101);
    ipv6(&packet, 0); /* hop-by-hop, then UDP */
    pcap_record(&file, AT_US, &packet);
    packet.n = 0;
    ipv6(&packet, 44);
    pcap_record(&file, AT_US, &packet);
    packet.n = 0;
    ipv6(&packet, 6);
    pcap_record(&file, AT_US, &packet);
    packet.n = 0;
    ipv4(&packet, 0x2000, 17); /* more follows */
    pcap_record(&file, AT_US, &packet);
    packet.n = 0;
    ipv4(&packet, 0x00b9, 17); /* the end of one */
    pcap_record(&file, AT_US, &packet);
    packet.n = 0;
    ipv4(&packet, 0, 6);
    pcap_record(&file, AT_US, &packet);
    packet.n = 0;
    ipv4(&packet, 0, 17);
    packet.n -= 2; /* snapped */
    pcap_record(&file, AT_US, &packet);
    assert_int_equal(read_all(&file, 6, AT_S * UINT64_C(1000000) + AT_US, &end, &counts), 1);
    assert_int_equal(end, E_NOTFOUND);
    assert_int_equal(counts.packets, 7);
    assert_int_equal(counts.datagrams, 1);
    assert_int_equal(counts.fragments, 3);
    assert_int_equal(counts.cut, 1);
}

/* Cut off anywhere, it says so, and what came before counts. */
static void cut_off_anywhere(void **state)
{
    (void)state;
    for (unsigned ng = 0; ng < 2; ng++) {
        struct octets file = {.little = true}, packet = {.n = 0};
        size_t whole = 0;
        packet4(&packet, "", 0);
        if (ng != 0) {
            section(&file);
            interface(&file, 101, 6, 0);
            enhanced(&file, 0, AT_S * UINT64_C(1000000) + AT_US, &packet);
        } else {
            pcap_head(&file, 0xa1b2c3d4, 101);
            pcap_record(&file, AT_US, &packet);
        }
        whole = file.n;
        for (file.n = 1; file.n < whole; file.n++) {
            enum err end = E_OK;
            size_t n = read_all(&file, 4, AT_S * UINT64_C(1000000) + AT_US, &end, NULL);
            assert_int_equal(n, 0);
            assert_true(end == E_PARSE || end == E_NOTFOUND);
        }
    }
}

static void damaged(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *octets;
    } rows[] = {
        {0, "\x00\x00\x00\x00"},  {8, "\x00\x00\x00\x01"},  /* magic; byte order */
        {4, "\x0d\x00\x00\x00"},  {4, "\x00\x00\x00\x7f"},  /* length of the section */
        {32, "\x01\x00\x00\x00"}, {32, "\xff\xff\xff\x7f"}, /* of the interface */
        {56, "\x05\x00\x00\x00"}, {68, "\xff\xff\xff\xff"}, /* no such interface; of the packet */
    };
    struct octets packet = {.n = 0};

    packet4(&packet, "", 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct octets file = {.little = true};
        enum err end = E_OK;
        section(&file);
        interface(&file, 101, -1, 0);
        enhanced(&file, 0, AT_S * UINT64_C(1000000) + AT_US, &packet);
        memcpy(file.b + rows[i].at, rows[i].octets, 4);
        assert_int_equal(read_all(&file, 4, AT_S * UINT64_C(1000000) + AT_US, &end, NULL), 0);
        assert_int_equal(end, E_PARSE);
    }
}

/* A packet that is larger than what is held at first. */
static void a_large_packet(void **state)
{
    (void)state;
    static uint8_t octets[PCAP_LARGE + 64];
    struct octets head = {.little = true};
    struct capture *c = NULL;
    struct capture_datagram d;
    FILE *f = NULL;

    pcap_head(&head, 0xa1b2c3d4, 101);
    number(&head, AT_S, 4);
    number(&head, 0, 4);
    number(&head, PCAP_LARGE, 4);
    number(&head, PCAP_LARGE, 4);
    wire(&head, 0x4500, 2);
    wire(&head, PCAP_LARGE, 2);
    wire(&head, 0, 4);
    wire(&head, 0x4011, 2);
    wire(&head, 0, 2);
    wire(&head, 0xc0000201c0000202, 8);
    wire(&head, 4000, 2);
    wire(&head, 5000, 2);
    wire(&head, PCAP_LARGE - 20, 2);
    memcpy(octets, head.b, head.n);
    octets[24 + 16 + PCAP_LARGE - 1] = 'z';
    f = fmemopen(octets, 24 + 16 + PCAP_LARGE, "rb");
    assert_non_null(f);
    assert_int_equal(capture_open(f, &c), E_OK);
    mem_fail_at(0);
    assert_int_equal(capture_next(c, &d), E_NOMEM);
    mem_fail_at(-1);
    capture_close(c);
    rewind(f);
    assert_int_equal(capture_open(f, &c), E_OK);
    assert_int_equal(capture_next(c, &d), E_OK);
    assert_int_equal(d.payload.n, PCAP_LARGE - 28);
    assert_int_equal(d.payload.p[d.payload.n - 1], 'z');
    capture_close(c);
    fclose(f);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct octets file = {.little = true};
    struct capture *c = NULL;
    enum err e = E_OK;
    FILE *f = NULL;

    pcap_head(&file, 0xa1b2c3d4, 1);
    for (long i = 0; i < 2; i++) {
        mem_fail_at(i);
        f = file_of(&file, &c, &e);
        mem_fail_at(-1);
        assert_int_equal(e, E_NOMEM);
        fclose(f);
    }
}

static int nothing_is_left(void **state)
{
    (void)state;
    return mem_live() != 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links),
        cmocka_unit_test(containers_and_clocks),
        cmocka_unit_test(two_sections_of_both_byte_orders),
        cmocka_unit_test(ip_of_both_versions),
        cmocka_unit_test(cut_off_anywhere),
        cmocka_unit_test(damaged),
        cmocka_unit_test(a_large_packet),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, nothing_is_left);
}
