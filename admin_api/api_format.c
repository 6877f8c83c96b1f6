/* Formats of texts that a schema may name. */
#include <string.h>

#include "admin_api/api_schema_int.h"
#include "base/net.h"

static bool digits(struct view v, size_t at, size_t n, unsigned low, unsigned high)
{
    uint64_t u = 0;

    return at + n <= v.n && view_to_u64(view_sub(v, at, n), high, &u) == E_OK && u >= low;
}

static bool is_at(struct view v, size_t at, char c)
{
    return at < v.n && v.p[at] == c;
}

static bool is_date(struct view v)
{
    static const unsigned days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t year = 0, month = 0, day = 0;

    if (v.n != 10 || !is_at(v, 4, '-') || !is_at(v, 7, '-') ||
        view_to_u64(view_sub(v, 0, 4), 9999, &year) != E_OK ||
        view_to_u64(view_sub(v, 5, 2), 12, &month) != E_OK ||
        view_to_u64(view_sub(v, 8, 2), 31, &day) != E_OK || month == 0 || day == 0) {
        return false;
    }
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= days[month - 1] && (month != 2 || day < 29 || leap);
}

/* RFC 3339 section 5.6, capital T and Z. A leap second is one of the database's business. */
static bool is_date_time(struct view v)
{
    size_t at = 19;

    if (v.n < 20 || v.n > 40 || !is_date(view_sub(v, 0, 10)) || v.p[10] != 'T' ||
        !digits(v, 11, 2, 0, 23) || v.p[13] != ':' || !digits(v, 14, 2, 0, 59) || v.p[16] != ':' ||
        !digits(v, 17, 2, 0, 60)) {
        return false;
    }
    if (v.p[at] == '.') {
        size_t from = ++at;
        while (at < v.n && is_digit((unsigned char)v.p[at])) {
            at++;
        }
        if (at == from || at - from > 9) {
            return false;
        }
    }
    if (is_at(v, at, 'Z')) {
        return at + 1 == v.n;
    }
    return (is_at(v, at, '+') || is_at(v, at, '-')) && at + 6 == v.n &&
           digits(v, at + 1, 2, 0, 23) && v.p[at + 3] == ':' && digits(v, at + 4, 2, 0, 59);
}

static bool is_family(struct view v, uint8_t family)
{
    struct net_addr a;
    size_t at = 0;

    return !view_find(v, '[', &at) && net_parse_ip(v, &a) == E_OK &&
           (family == 4 ? view_find(v, '.', &at) && !view_find(v, ':', &at)
                        : view_find(v, ':', &at));
}

static bool is_ipv4(struct view v)
{
    return is_family(v, 4);
}

static bool is_ipv6(struct view v)
{
    return is_family(v, 6);
}

/* RFC 9562 section 4. */
static bool is_uuid(struct view v)
{
    uint8_t b[16];

    return v.n == 36 && v.p[8] == '-' && v.p[13] == '-' && v.p[18] == '-' && v.p[23] == '-' &&
           hex_get(view_sub(v, 0, 8), b, 4) == E_OK && hex_get(view_sub(v, 9, 4), b, 2) == E_OK &&
           hex_get(view_sub(v, 14, 4), b, 2) == E_OK && hex_get(view_sub(v, 19, 4), b, 2) == E_OK &&
           hex_get(view_sub(v, 24, 12), b, 6) == E_OK;
}

bool (*schema_format(const char *name))(struct view text)
{
    static const struct {
        const char *name;
        bool (*check)(struct view text);
    } formats[] = {{"date", is_date},
                   {"date-time", is_date_time},
                   {"ipv4", is_ipv4},
                   {"ipv6", is_ipv6},
                   {"uuid", is_uuid}};

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, name) == 0) {
            return formats[i].check;
        }
    }
    return NULL;
}

size_t schema_characters(struct view utf8)
{
    size_t n = 0;

    for (size_t i = 0; i < utf8.n; i++) {
        n += ((unsigned char)utf8.p[i] & 0xC0) != 0x80;
    }
    return n;
}
